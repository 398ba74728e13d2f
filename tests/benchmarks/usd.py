"""Time, size and memory of USD files: ``python -m tests.benchmarks.usd``.

Each row is a process of its own, which writes the same bytes with NumPy and what the row names in turn, the best of
REPEATS counts: seconds by the clock, until all is on the disk. Memory is the peak of a first export (VmHWM) over what
the process held when packages were loaded and the tracks ready.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import warp as wp
from pxr import Usd, UsdVol, Vt
from scipy.spatial.transform import Rotation

from usd_export import UsdOptions, export
from usd_export.arrays import usd_array
from warpgs.bodies import Parts
from warpgs.files import sync
from warpgs.types import Tracks

COUNT, STEPS, PARTS, REPEATS = 100_000, 150, 20, 5
ROWS = {
    "least": None,  # the smallest program that makes USD write the arrays: the limit of what an export can reach
    "raw": UsdOptions(),
    "raw half": UsdOptions(half=True),
    "dcc": UsdOptions(form="dcc"),
    "rigid": UsdOptions(),
    "rigid dynamic": UsdOptions(dynamic=True),
}


def make(count: int, steps: int, parts: int) -> tuple[Tracks, Parts]:
    """Boxes of particles that turn and fly."""
    rng = np.random.default_rng(0)
    part_index = (np.arange(count) % parts).astype(np.int32)
    poses = np.tile(np.eye(4), (steps, parts, 1, 1))
    local = rng.uniform(-0.2, 0.2, size=(count, 3))
    spins = Rotation.random(count, random_state=0).as_quat(scalar_first=True)
    means, rotations_wxyz = np.empty((steps, count, 3), np.float32), np.empty((steps, count, 4), np.float32)
    for p in range(parts):
        ids, start, drift = np.flatnonzero(part_index == p), rng.normal(size=3), rng.normal(scale=0.01, size=3)
        turn = rng.normal(scale=0.05, size=3)
        for t in range(steps):
            rotation = Rotation.from_rotvec(t * turn)
            poses[t, p, :3, :3], poses[t, p, :3, 3] = rotation.as_matrix(), start + t * drift
            means[t, ids] = local[ids] @ poses[t, p, :3, :3].T + poses[t, p, :3, 3]
            rotations_wxyz[t, ids] = spins[ids] @ _from_the_left(rotation).T
    names = tuple(f"part_{p:02d}" for p in range(parts))
    tracks = Tracks(
        means=means,
        rotations_wxyz=rotations_wxyz,
        log_scales=rng.normal(-5.0, 0.3, size=(count, 3)).astype(np.float32),
        colors=rng.uniform(size=(count, 3)).astype(np.float32),
        opacity_logits=rng.normal(2.0, 1.0, size=count).astype(np.float32),
        foreground=np.ones(count, np.float32),
        timesteps=tuple(range(steps)),
        fps=30.0,
        source_from_world=np.eye(4),
        camera_names=(),
        camera_log_gains=np.zeros((0, 3), np.float32),
        camera_offsets=np.zeros((0, 3), np.float32),
    )
    return tracks, Parts(part_index, names, poses, np.zeros((steps, parts)), np.zeros(parts, int))


def _from_the_left(rotation: Rotation) -> np.ndarray:
    """What a quaternion does to those it is multiplied with from the left, order w, x, y, z, shape [4, 4]."""
    w, x, y, z = rotation.as_quat(scalar_first=True)
    return np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])


def memory_mb(field: str) -> float:
    """A line of /proc/self/status [MB]."""
    return next(int(line.split()[1]) / 1e3 for line in open("/proc/self/status") if line.startswith(field))


def write_numpy(tracks: Tracks, path: Path) -> None:
    """The same bytes, instant by instant, and on the disk."""
    with path.open("wb") as file:
        for means, rotations_wxyz in zip(tracks.means, tracks.rotations_wxyz, strict=True):
            file.write(means)
            file.write(rotations_wxyz)
        file.flush()
        os.fsync(file.fileno())


def write_least(tracks: Tracks, path: Path) -> None:
    """The same bytes as samples of two attributes, and on the disk."""
    stage = Usd.Stage.CreateNew(str(path))
    splats = UsdVol.ParticleField3DGaussianSplat.Define(stage, "/Splats")
    positions, orientations = splats.CreatePositionsAttr(), splats.CreateOrientationsAttr()
    for t, (means, rotations_wxyz) in enumerate(zip(tracks.means, tracks.rotations_wxyz, strict=True)):
        positions.Set(usd_array(Vt.Vec3fArray, means), t)
        orientations.Set(usd_array(Vt.QuatfArray, rotations_wxyz), t)
        if (t + 1) % 10 == 0:
            stage.Save()
    stage.Save()
    sync(path)


def timed(write: Callable[[Path], object], path: Path) -> tuple[float, float]:
    """Seconds by the clock, and of processors."""
    start, busy = time.perf_counter(), time.process_time()
    write(path)
    return time.perf_counter() - start, time.process_time() - busy


def measure(row: str) -> None:
    """Print one row."""
    wp.config.log_level = wp.LOG_ERROR
    tracks, parts = make(COUNT, STEPS, PARTS)
    small = make(100, 2, 2)

    def write(tracks: Tracks, parts: Parts, path: Path) -> None:
        if row == "least":
            write_least(tracks, path)
        else:
            export(tracks, path, parts=parts if row.startswith("rigid") else None, options=ROWS[row], overwrite=True)

    with tempfile.TemporaryDirectory() as folder:
        plain, path = Path(folder) / "box.bin", Path(folder) / "box.usdc"
        write(*small, path)  # packages and kernels are loaded
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        before = memory_mb("VmRSS")
        assert memory_mb("VmHWM") - before < 1.0
        write(tracks, parts, path)
        peak = memory_mb("VmHWM") - before
        times = [
            (timed(partial(write_numpy, tracks), plain), timed(partial(write, tracks, parts), path))
            for _ in range(REPEATS)
        ]
        (plain_s, plain_busy_s), (seconds, busy_s) = np.array(times).min(axis=0)
        size = path.stat().st_size / 1e6
        print(
            f"| {row} | {seconds:.2f} | {seconds / plain_s:.2f} | {busy_s:.2f} | {busy_s / plain_busy_s:.1f} |"
            f" {size:.1f} | {peak:.0f} |",
            flush=True,
        )


def main() -> None:
    print(f"{COUNT} Gaussians x {STEPS} timesteps, {PARTS} parts\n")
    print("| | seconds | times NumPy | CPU seconds | times NumPy | MB | peak memory over the input [MB] |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for row in ROWS:
        subprocess.run([sys.executable, "-m", "tests.benchmarks.usd", row], check=True)


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
