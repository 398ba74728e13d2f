"""What renders and compares one view at a time."""

from __future__ import annotations

from dataclasses import dataclass

import warp as wp

from warpgs.devices import Replay
from warpgs.losses import PhotometricLoss
from warpgs.particles import Particles
from warpgs.render import Rasterizer


@wp.kernel(enable_backward=False)
def drawn_area_kernel(
    # inputs
    records: wp.array2d[float],
    width: int,
    height: int,
    # outputs
    area: wp.array[int],
):
    """First and last column, first and last row of all boxes of splats, within the image, a block further out: what the
    compositor may look at. Of a single thread, for the CPU."""
    left = float(width)
    right = float(-1.0)
    top = float(height)
    bottom = float(-1.0)
    for i in range(records.shape[0]):
        half_width = records[i, 6]
        if half_width >= 0.0:
            left = wp.min(left, records[i, 0] - half_width)
            right = wp.max(right, records[i, 0] + half_width)
            top = wp.min(top, records[i, 1] - records[i, 7])
            bottom = wp.max(bottom, records[i, 1] + records[i, 7])
    block = 8.0
    area[0] = int(wp.max(left - block, 0.0))
    area[1] = int(wp.min(right + block, float(width - 1)))
    area[2] = int(wp.max(top - block, 0.0))
    area[3] = int(wp.min(bottom + block, float(height - 1)))
    if right < 0.0:
        area[1] = -1
        area[3] = -1


@dataclass(eq=False)
class Worker:
    """The buffers that one view needs."""

    rasterizer: Rasterizer
    loss: PhotometricLoss
    gradients: Particles
    area: wp.array
    """Where moving particles are seen among a backdrop; see ``drawn_area_kernel``."""
    views: dict[int, Replay]
    """What is launched for each view."""
    total: Replay
    """Adds ``gradients`` to those of the step."""

    def forget(self) -> None:
        """Buffers moved or changed hands: captured launches are void."""
        for replay in (*self.views.values(), self.total):
            replay.forget()
