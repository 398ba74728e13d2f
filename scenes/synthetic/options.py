"""Options that every synthetic scene shares."""

from __future__ import annotations

from dataclasses import dataclass

from warpgs.checks import refuse


@dataclass(frozen=True)
class SyntheticOptions:
    """What a synthetic recording is like: pictures, cameras, length, and what comes with it."""

    width: int = 320
    """Picture width [px]."""
    height: int = 180
    """Picture height [px]."""
    timesteps: int = 30
    """Number of instants."""
    fps: float = 30.0
    """Instants per second [1/s]."""
    train_cameras: int = 20
    """Cameras of the dome used for fitting."""
    test_cameras: int = 4
    """Cameras of the dome held out."""
    seed: int = 0
    """Chooses motion, textures, ground-truth points and cloud noise."""
    samples: int = 2
    """Rays per pixel along each side of the pixel; 2 casts 4 rays."""
    shadows: bool = True
    """Whether bodies cast shadows."""
    has_masks: bool = True
    """Whether frames come with foreground masks."""
    has_cloud: bool = True
    """Whether the scene comes with a starting point cloud."""
    cloud_background: int = 40_000
    """Most points of the cloud on the static surroundings; fewer where a surface is out of every camera's sight."""
    cloud_foreground: int = 10_000
    """Most points of the cloud on the bodies."""
    cloud_noise_m: float = 0.003
    """Standard deviation of the cloud's positions along each axis [m]."""
    truth_points: int = 100
    """Most ground-truth points per body."""

    def __post_init__(self) -> None:
        least = {"width": 1, "height": 1, "timesteps": 1, "train_cameras": 1, "test_cameras": 0, "samples": 1}
        least |= {"cloud_background": 0, "cloud_foreground": 0, "cloud_noise_m": 0, "truth_points": 1, "seed": 0}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                refuse(f"SyntheticOptions.{name}", f"at least {smallest}", getattr(self, name))
        if not 0.0 < self.fps < float("inf"):
            refuse("SyntheticOptions.fps", "a positive number [1/s]", self.fps)
        if self.has_cloud and self.cloud_background + self.cloud_foreground == 0:
            refuse("SyntheticOptions", "cloud points", "none", "pass has_cloud=False for a scene without a cloud")


DEFAULTS = SyntheticOptions()
