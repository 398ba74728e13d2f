"""Every kernel compiles to PTX for the GPUs that are supported, without a GPU.

The kernels are read off the sources, so that a new one cannot be forgotten, and compiled as one module: the headers,
which take most of the time of a small module, are then read once per architecture.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import warp as wp

import scenes
import usd_export
import warpgs
from warpgs.render import composite_cuda
from warpgs.render.channels import CHANNELS, COLOR_MASK
from warpgs.render.composite_cuda_native import SHARED_BYTES
from warpgs.render.project import project_kernels
from warpgs.render.project_cpu_native import Variant

ARCHITECTURES = (75, 86, 90)
FACTORY_ARGUMENTS = {
    ("dtype",): [(wp.float32,)],
    # color, color and mask, both shares of the mask, and more, up to all that can be drawn
    ("dtype", "channels", "median"): [(wp.float32, n, n == 32) for n in (3, 4, 5, 6, 16, 32)],
    ("dtype", "portable"): [(wp.float32, True)],
    ("dtype", "width"): [(wp.float32, 10)],
    ("dtype", "channels"): [(wp.float32, 3), (wp.float32, 4), (wp.float32, 32)],
    ("dtype", "variant"): [(wp.float32, Variant(COLOR_MASK, 0, antialiased=False))],
    ("dtype", "channels", "features", "harmonics", "antialiased"): [
        (wp.float32, COLOR_MASK, 0, False, False),
        (wp.float32, CHANNELS, 23, True, True),
    ],
}
"""What factories of kernels are called with, by the names of their parameters."""

CPU_ONLY = {
    # strips of eight pixels in clang vector types, which nvcc does not have; composite_cuda.py holds their twins
    ("warpgs.render.composite_cpu", "composite_kernel"),
    ("warpgs.render.composite_cpu", "composite_adjoint_kernel"),
    ("warpgs.render.composite_cpu", "visibility_kernel"),
    # a single thread, which fetches ahead; bins.py holds the kernels of CUDA
    ("warpgs.render.bins_cpu", "bin_serial_kernel"),
    # eight particles at a time; project.py holds the twins
    ("warpgs.render.project_cpu", "project_lanes_kernel"),
    ("warpgs.render.project_cpu", "project_lanes_adjoint_kernel"),
    # rows of eight pixels; photometric_cuda.py holds their twins
    ("warpgs.losses.photometric_cpu", "moments_kernel"),
    ("warpgs.losses.photometric_cpu", "loss_kernel"),
    # eight neighbors at a time; fused.py holds the twin
    ("warpgs.priors.fused_cpu", "lane_pairs_kernel"),
    # what one CPU core can do at most
    ("warpgs.bench.limit", "limit_forward_kernel"),
    ("warpgs.bench.limit", "limit_backward_kernel"),
}


@dataclass(frozen=True)
class Written:
    """A kernel as it stands in a source file."""

    module: str
    name: str
    factory: str | None
    """The function that makes it; None at the top of the file."""


def modules() -> Iterator[ModuleType]:
    for package in (warpgs, scenes, usd_export):
        yield package
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            yield importlib.import_module(info.name)


def is_kernel(node: ast.AST) -> bool:
    """Decorated with wp.kernel or wp.kernel(...)."""
    decorators = [d.func if isinstance(d, ast.Call) else d for d in getattr(node, "decorator_list", [])]
    return any(ast.unparse(decorator).split(".")[-1] == "kernel" for decorator in decorators)


def written_in(module: ModuleType) -> Iterator[Written]:
    for outer in ast.parse(Path(module.__file__).read_text()).body:
        if is_kernel(outer):
            yield Written(module.__name__, outer.name, None)
        else:
            for node in ast.walk(outer):
                if is_kernel(node):
                    yield Written(module.__name__, node.name, outer.name)


WRITTEN = sorted({kernel for module in modules() for kernel in written_in(module)}, key=str)


def made_by(factory) -> Iterator[wp.Kernel]:
    """The kernels that a factory returns, alone or in a namespace, for each set of its arguments."""
    for arguments in FACTORY_ARGUMENTS[tuple(inspect.signature(factory).parameters)]:
        product = factory(*arguments)
        for value in vars(product).values() if isinstance(product, SimpleNamespace) else [product]:
            if isinstance(value, wp.Kernel):
                yield value


def instances(written: Written) -> list[wp.Kernel]:
    """The kernels that a definition makes."""
    module = importlib.import_module(written.module)
    if written.factory is None:
        return [getattr(module, written.name)]
    return [kernel for kernel in made_by(getattr(module, written.factory)) if kernel.func.__name__ == written.name]


def test_kernels_are_found_in_the_sources():
    assert len(WRITTEN) > 40
    assert {(kernel.module, kernel.name) for kernel in WRITTEN} >= CPU_ONLY


@pytest.mark.parametrize("written", WRITTEN, ids=lambda kernel: f"{kernel.module}.{kernel.name}")
def test_kernel_can_be_made_for_cuda(written):
    """A factory with other parameters wants a line in FACTORY_ARGUMENTS; a generic kernel could not be compiled."""
    kernels = instances(written)
    assert kernels
    assert not any(kernel.is_generic for kernel in kernels)


@pytest.fixture(scope="module")
def everything() -> wp.Module:
    """All kernels but those of the CPU, under names of their own."""
    module = wp.Module("every_kernel")
    module.options["optimization_level"] = 1  # half the time of the default, and the same code is accepted
    for written in WRITTEN:
        if (written.module, written.name) in CPU_ONLY:
            continue
        for i, kernel in enumerate(instances(written)):
            key = f"{written.module}.{written.name}.{i}".replace(".", "_")
            wp.Kernel(kernel.func, key=key, module=module, options=kernel.options, source=kernel.adj.source)
    return module


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles_to_ptx(architecture, everything, tmp_path):
    [path] = wp.compile_aot_module(everything, arch=architecture, use_ptx=True, module_dir=tmp_path)
    ptx = path.read_text()
    assert f".target sm_{architecture}" in ptx
    missing = [key for key in everything.kernels if f".entry {key}_" not in ptx]
    assert not missing


def ptx_of(kernel: wp.Kernel, folder: Path) -> str:
    """As it is built for use: fully optimized, in blocks of threads."""
    kernel.module.options["block_dim"] = composite_cuda.THREADS
    [path] = wp.compile_aot_module(kernel.module, arch=86, use_ptx=True, module_dir=folder)
    return path.read_text()


def shared_bytes(ptx: str) -> int:
    """Of the batch of splats, not of Warp's own."""
    [size] = re.findall(r"\.shared [^\n]*6shared\[(\d+)\]", ptx)
    return int(size)


GROUPS = {3: [16], 4: [16], 5: [16], 6: [16], 16: [16, 8], 32: [32, 8]}
"""How many of the 6 + channels numbers are summed over a warp at once."""
ROUNDS = {0: 0, 2: 1 + 4, 8: 7 + 2, 16: 15 + 1, 32: 31}
"""Shuffles of a group: all but one to tell its numbers apart, then one each time threads are left with the same."""


@pytest.mark.parametrize("channels", GROUPS)
def test_compositing_shares_batches_and_sums_over_warps_before_atomics(channels, tmp_path):
    """Nothing is indexed in local memory; whether registers spill only ptxas knows, which is not at hand."""
    kernels = composite_cuda.composite_kernels(wp.float32, channels)
    barriers = {"forward": 2, "adjoint": 4, "visibility": 2}
    for name, groups in {"forward": [], "adjoint": GROUPS[channels], "visibility": [2]}.items():
        ptx = ptx_of(getattr(kernels, name), tmp_path / name)
        assert 0 < shared_bytes(ptx) <= SHARED_BYTES
        assert not re.search(r"\.local\b", ptx)
        assert len(re.findall(r"\bbar(?:rier)?\.(?:sync|red)", ptx)) == barriers[name]
        bodies = ptx.count("ex2.approx.ftz.f32")  # the compiler may unroll the loop over a batch
        assert 1 <= bodies <= 5
        assert ptx.count("shfl.sync.bfly") == bodies * sum(ROUNDS[size] for size in groups)
        assert len(re.findall(r"(?:atom|red)\.global\.add\.f32", ptx)) == bodies * len(groups)


def test_gradients_of_the_pose_are_summed_over_warps_before_atomics(tmp_path):
    kernel = project_kernels(wp.float32, COLOR_MASK, 0, False, False).adjoint
    ptx = ptx_of(kernel, tmp_path)
    assert ptx.count("activemask.b32") == ptx.count("atom.global.add.f64") == 6
    assert "shfl.sync.idx" in ptx
