"""Time, size and memory of USD files: ``python -m tests.benchmarks.usd``.

Each row is a process of its own: memory is its peak over what it held when the tracks were ready.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from usd_export import UsdOptions, export
from warpgs.bodies import Parts
from warpgs.types import Tracks

COUNT, STEPS, PARTS = 100_000, 150, 20
ROWS = ("numpy", "raw", "raw half", "dcc", "rigid", "rigid dynamic")


def make(count: int, steps: int, parts: int) -> tuple[Tracks, Parts]:
    """Boxes of particles that turn and fly."""
    rng = np.random.default_rng(0)
    part_index = (np.arange(count) % parts).astype(np.int32)
    poses = np.tile(np.eye(4), (steps, parts, 1, 1))
    local = rng.uniform(-0.2, 0.2, size=(count, 3))
    spins = Rotation.random(count, random_state=0)
    means, rotations_wxyz = np.empty((steps, count, 3), np.float32), np.empty((steps, count, 4), np.float32)
    for p in range(parts):
        ids, start, drift = np.flatnonzero(part_index == p), rng.normal(size=3), rng.normal(scale=0.01, size=3)
        turn = rng.normal(scale=0.05, size=3)
        for t in range(steps):
            rotation = Rotation.from_rotvec(t * turn)
            poses[t, p, :3, :3], poses[t, p, :3, 3] = rotation.as_matrix(), start + t * drift
            means[t, ids] = rotation.apply(local[ids]) + poses[t, p, :3, 3]
            rotations_wxyz[t, ids] = (rotation * spins[ids]).as_quat(scalar_first=True)
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


def measure(row: str) -> None:
    """Print one row."""
    wp.config.log_level = wp.LOG_ERROR
    tracks, parts = make(COUNT, STEPS, PARTS)
    small = make(100, 2, 2)
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "raw": UsdOptions(),
            "raw half": UsdOptions(half=True),
            "dcc": UsdOptions(form="dcc"),
            "rigid": UsdOptions(),
            "rigid dynamic": UsdOptions(dynamic=True),
        }
        rigid = row.startswith("rigid")
        if row in options:  # packages and kernels are loaded
            export(small[0], Path(folder) / "small.usdc", parts=small[1] if rigid else None, options=options[row])
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        path, before, start = Path(folder) / "box.usdc", memory_mb("VmRSS"), time.perf_counter()
        if row == "numpy":
            write_numpy(tracks, path)
        else:
            export(tracks, path, parts=parts if rigid else None, options=options[row])
        seconds = time.perf_counter() - start
        peak = max(memory_mb("VmHWM") - before, 0.0)
        print(f"| {row} | {seconds:.2f} | {path.stat().st_size / 1e6:.1f} | {peak:.0f} |", flush=True)


def main() -> None:
    print(f"{COUNT} Gaussians x {STEPS} timesteps, {PARTS} parts\n")
    print("| | seconds | MB | peak memory over the input [MB] |\n|---|---|---|---|", flush=True)
    for row in ROWS:
        subprocess.run([sys.executable, "-m", "tests.benchmarks.usd", row], check=True)


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
