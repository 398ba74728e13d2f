"""One look at all poses: are they sound, and which particles move."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import warp as wp

from warpgs.devices import thread_count
from warpgs.types import Tracks


@wp.kernel(enable_backward=False)
def unsoundness_kernel(
    # inputs
    means: wp.array2d[wp.vec3],
    rotations_wxyz: wp.array2d[wp.vec4],
    # outputs
    worst: wp.array[float],
):
    t = wp.tid()
    most = float(0.0)
    strange = float(0.0)  # NaN for good after any number that is not finite
    for i in range(means.shape[1]):
        p = means[t, i]
        error = wp.abs(wp.length(rotations_wxyz[t, i]) - 1.0)
        most = wp.max(most, error)
        strange += 0.0 * (p[0] + p[1] + p[2] + error)
    worst[t] = most + strange


@wp.kernel(enable_backward=False)
def moving_kernel(
    # inputs
    means: wp.array2d[wp.vec3],
    rotations_wxyz: wp.array2d[wp.vec4],
    # outputs
    moving: wp.array[wp.bool],
):
    i = wp.tid()
    for t in range(1, means.shape[0]):
        if not (means[t, i] == means[0, i] and rotations_wxyz[t, i] == rotations_wxyz[0, i]):
            moving[i] = True
            return


def unsoundness(tracks: Tracks) -> np.ndarray:
    """How far the length of any quaternion is from 1 at each instant, NaN where a number is not finite, shape [t]."""
    worst = wp.zeros(len(tracks), dtype=float, device="cpu")
    poses, threads = _poses(tracks), thread_count(0)

    def look(first: int) -> None:
        some = slice(first, None, threads)
        wp.launch(unsoundness_kernel, worst[some].size, [a[some] for a in poses], [worst[some]], device="cpu")

    wp.load_module(unsoundness_kernel.module, device="cpu")  # by one thread alone
    with ThreadPoolExecutor(threads, "warpgs-survey") as pool:
        list(pool.map(look, range(min(threads, len(tracks)))))
    return worst.numpy()


def moving_particles(tracks: Tracks) -> np.ndarray:
    """Whether each particle is born late, or its pose ever differs, however little, from its first; shape [n], bool."""
    count = tracks.means.shape[1]
    moving = wp.array(np.arange(count) >= tracks.count_at(0), dtype=wp.bool, device="cpu")
    wp.launch(moving_kernel, count, _poses(tracks), [moving], device="cpu")
    return moving.numpy()


def _poses(tracks: Tracks) -> list[wp.array]:
    """Means and rotations, without a copy where they are in order."""
    values = ((tracks.means, wp.vec3), (tracks.rotations_wxyz, wp.vec4))
    return [wp.array(np.ascontiguousarray(a), dtype=kind, device="cpu", copy=False) for a, kind in values]
