"""What to measure."""

from __future__ import annotations

from dataclasses import dataclass

from warpgs.bench.clouds import surfaces
from warpgs.checks import refuse
from warpgs.types import Gaussians


@dataclass(frozen=True)
class BenchConfig:
    """Sizes and repetitions of a benchmark. What is wanted of the figures holds for the defaults."""

    counts: tuple[int, ...] = (20_000, 100_000)
    """Numbers of particles on one CPU core; the first is also that of the rows of parts and steps."""
    width: int = 640
    """Picture width on the CPU [px]."""
    height: int = 360
    """Picture height on the CPU [px]."""
    repeats: int = 15
    """Runs of each stage; the median counts."""
    device: str = "auto"
    """The GPU to measure: auto takes the first CUDA device if there is one, cpu none."""
    gpu_count: int = 200_000
    """Number of particles on the GPU."""
    gpu_sizes: tuple[tuple[int, int], ...] = ((640, 360), (1920, 1080))
    """Pictures on the GPU, width and height [px]."""
    gpu_cameras: int = 27
    """Cameras of the training steps on the GPU."""

    def __post_init__(self) -> None:
        least = {"width": 1, "height": 1, "repeats": 1, "gpu_count": 2, "gpu_cameras": 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                refuse(f"BenchConfig.{name}", f"at least {smallest}", getattr(self, name))
        if not self.counts or min(self.counts) < 2:
            refuse("BenchConfig.counts", "numbers of at least 2 particles", list(self.counts))

    def cloud(self, count: int) -> Gaussians:
        """The cloud of this number of particles."""
        return surfaces(count, width=self.width)
