"""What the benchmark runs on: processor, cores, graphics card, versions."""

from __future__ import annotations

import importlib.util
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import warp as wp

from warpgs.devices import thread_count

PACKAGES = ("warpgs", "warp-lang", "numpy")
PEERS = ("gsplat", "torch")
"""What a figure is compared with where it is installed."""


def machine() -> dict[str, str]:
    """Name to description."""
    found = {
        "processor": processor(),
        "cores": f"{thread_count(0)} that this process may use",
        "GPU": ", ".join(device.name for device in wp.get_cuda_devices()) or "none",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {installed_version(name)}" for name in PACKAGES),
    }
    peers = [f"{name} {installed_version(name)}" for name in PEERS if is_installed(name)]
    absent = [name for name in PEERS if not is_installed(name)]
    return found | {"peers": ", ".join(peers) or "none", "peers not installed": ", ".join(absent) or "none"}


def processor() -> str:
    """The name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def is_installed(name: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(name) is not None


def installed_version(name: str) -> str:
    """The version of a distribution; unknown where it runs from a checkout."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "of unknown version"
