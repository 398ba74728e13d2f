"""Adaptive density control at the first timestep (Kerbl et al. 2023, section 5.2): clone small Gaussians, split large
ones where the picture pulls hard on them; remove what is faint or huge.

Runs every hundred steps or so, in NumPy on the host.
"""

from dataclasses import replace

import numpy as np
import warp as wp

from warpgs.particles import logit
from warpgs.reconstruct.config import DensifyConfig
from warpgs.render import Rasterizer
from warpgs.types import Gaussians

SPLIT_SHRINK = 1.6
"""Children of a split are smaller by this factor."""
RESET_OPACITY = 0.01


@wp.kernel(enable_backward=False)
def count_seen_kernel(
    # inputs
    norms: wp.array[float],
    # outputs, accumulated
    sums: wp.array[float],
    counts: wp.array[float],
):
    i = wp.tid()
    if norms[i] >= 0.0:  # drawn in this view
        sums[i] += norms[i]
        counts[i] += 1.0


class ScreenGradients:
    """Mean norm of the gradient by each splat's center, in units of half an image, over the views that saw it."""

    def __init__(self, count: int, device: wp.DeviceLike) -> None:
        self._norms, self._sums, self._counts = (wp.zeros(count, dtype=float, device=device) for _ in range(3))

    def add(self, rasterizer: Rasterizer, scale: float) -> None:
        """Take in the last backward pass of ``rasterizer``; ``scale`` undoes weights of the loss."""
        half_image = 0.5 * scale * rasterizer.width, 0.5 * scale * rasterizer.height
        rasterizer.screen_gradient_norms(self._norms, unit_px=half_image)
        outputs = [self._sums, self._counts]
        device = self._norms.device
        wp.launch(count_seen_kernel, self._norms.size, [self._norms], outputs, device=device, record_tape=False)

    def state(self) -> list[wp.array]:
        """What ``add`` adds to, as arrays on the device."""
        return [self._sums, self._counts]

    def mean(self) -> np.ndarray:
        """Mean norm per particle, shape [n]; 0 where no view saw it."""
        return self._sums.numpy() / np.maximum(self._counts.numpy(), 1.0)


def densify(
    gaussians: Gaussians,
    screen_gradients: np.ndarray,
    config: DensifyConfig,
    *,
    step: int,
    radius: float,
    random: np.random.Generator,
) -> tuple[Gaussians, np.ndarray]:
    """Clone, split and prune.

    Args:
        gaussians: All particles, n of them.
        screen_gradients: From ``ScreenGradients.mean``, shape [n].
        config: Thresholds.
        step: The current step, which decides what is pruned.
        radius: Scene radius [m].
        random: Places the children of splits.

    Returns:
        The new Gaussians, and for each the row it continues, -1 for new ones.
    """
    size = np.exp(gaussians.log_scales.max(axis=1))
    room = max(config.maximum - len(gaussians), 0)
    may_grow = {"none": False, "background": gaussians.foreground < 0.5, "all": True}[config.grow]
    wanted = np.flatnonzero((screen_gradients > config.gradient_threshold) & may_grow)
    if len(wanted) > room:
        wanted = np.sort(wanted[np.argsort(-screen_gradients[wanted], kind="stable")[:room]])
    small = size[wanted] <= config.clone_scale * radius
    clones, splits = wanted[small], wanted[~small]

    keep = np.ones(len(gaussians), bool)
    keep[splits] = False
    children = np.repeat(splits, 2)
    rows = np.concatenate([np.flatnonzero(keep), clones, children])
    grown = gaussians.select(rows)
    source = np.concatenate([np.flatnonzero(keep), np.full(len(clones) + len(children), -1)])

    first = len(rows) - len(children)
    means, log_scales = grown.means.copy(), grown.log_scales.copy()
    offsets = np.exp(log_scales[first:]) * random.standard_normal((len(children), 3))
    means[first:] += _rotate(grown.rotations_wxyz[first:], offsets).astype(np.float32)
    log_scales[first:] -= np.float32(np.log(SPLIT_SHRINK))
    grown = replace(grown, means=means, log_scales=log_scales)

    kept = _survivors(grown, config, step, radius)
    return grown.select(kept), source[kept]


def _survivors(gaussians: Gaussians, config: DensifyConfig, step: int, radius: float) -> np.ndarray:
    faint = config.final_prune_opacity if step >= config.stop else config.prune_opacity
    survives = gaussians.opacity_logits >= logit(np.array(faint))
    if step >= config.prune_scale_start:
        survives &= np.exp(gaussians.log_scales.max(axis=1)) <= config.prune_scale * radius
    return np.flatnonzero(survives)


def _rotate(rotations_wxyz: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    w, v = rotations_wxyz[:, :1], rotations_wxyz[:, 1:]
    t = 2.0 * np.cross(v, vectors)
    return vectors + w * t + np.cross(v, t)
