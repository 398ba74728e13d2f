"""Settings of the first timestep. Defaults are those of preset ``fast``; ``PAPER`` is the published protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from warpgs.checks import refuse
from warpgs.reconstruct.seed import SeedConfig


@dataclass(frozen=True)
class Rates:
    """Adam learning rates per step, one for each parameter."""

    means: float = 4.5e-4
    """Centers [scene radii]. Three times the published rate, because the steps are fewer: +0.6 dB on held-out cameras
    of a real recording, tracks the same."""
    rotations: float = 1e-3
    """Quaternions; as published."""
    log_scales: float = 1e-2
    """Logarithms of the standard deviations. Ten times the published rate, for the same reason."""
    colors: float = 5e-3
    """RGB. Twice the published rate, because the steps are fewer."""
    opacity_logits: float = 5e-2
    """Logits of the opacities; as published."""
    foreground_logits: float = 5e-2
    """Logits of the foreground probabilities: a cloud's own labels are wrong at edges. The rate of the other
    logits."""
    corrections: float = 1e-3
    """Per-camera color corrections (log gain and offset). Ten times the published rate, because the steps are fewer."""
    harmonics: float = 1.25e-4
    """Coefficients of spherical harmonics of degree 1 and more, where there are any: a twentieth of the published
    rate of colors, as in 3D Gaussian splatting."""
    turns: float = 1e-4
    """Turns of the cameras about their centers [rad], where they are refined: 0.03 px of a picture 320 px wide. In 600
    steps of 2 out of 20 cameras each can go 2 px; exact ones stay within 0.04 px."""


@dataclass(frozen=True)
class DensifyConfig:
    """Cloning, splitting and pruning of Gaussians (Kerbl et al. 2023, section 5.2)."""

    grow: Literal["none", "background", "all"] = "background"
    """What is cloned and split; the rest is only pruned. A background that grows brings 1 dB on held-out cameras; a
    foreground that grows doubles the error of the tracks (0.6 cm, not 0.3, on tumbling bodies)."""
    start: int = 100
    """First step at which Gaussians are added or removed."""
    stop: int = 500
    """Last such step."""
    every: int = 100
    """Steps between; 0 leaves the number of Gaussians as it is."""
    gradient_threshold: float = 2e-4
    """Mean norm of the loss gradient by a splat's center [1 / half image] above which it is cloned or split."""
    clone_scale: float = 0.01
    """Largest standard deviation [scene radii] of a Gaussian that is cloned; larger ones are split in two."""
    prune_opacity: float = 0.005
    """Gaussians fainter than this are removed."""
    final_prune_opacity: float = 0.1
    """The same at ``stop``. Faint leftovers near a surface would claim the tracks of its points."""
    prune_scale: float = 0.1
    """Gaussians with a larger standard deviation [scene radii] are removed, from ``prune_scale_start`` on."""
    prune_scale_start: int = 300
    """See ``prune_scale``."""
    reset_opacity_at: int = 0
    """Step at which all opacities fall to 0.01, which removes floaters if thousands of steps follow; 0: never."""
    maximum: int = 400_000
    """Never more Gaussians than this."""


@dataclass(frozen=True)
class ReconstructConfig:
    """How the first timestep is fitted."""

    steps: int = 600
    """Optimization steps. Twice as many gain 2.4 dB on training cameras, and 0.2 dB on held-out ones."""
    without_cloud: float = 2.0
    """So many times the steps where there is no starting cloud: what starts on the hull of the masks has farther to go.
    Over 12 timesteps of tumbling bodies, tracks err by 0.22 instead of 0.25 cm (with a cloud 0.16), and held-out
    pictures gain 0.5 dB."""
    views_per_step: int = 2
    """Training views rendered in every step. Two, so that two cores share the work without changing the result."""
    image_weight: float = 3.0
    """Weight of the color loss, three times that of the mask: see the mask's."""
    mask_weight: float = 1.0
    """Weight of the mask loss; see that of later timesteps."""
    background_channel: bool = False
    """Compare the rendered background share with the mask too, as the published protocol does."""
    final_means_rate: float = 0.05
    """The rate of the centers decays to this share."""
    neutral_corrections: bool = True
    """Keep the mean color correction of all cameras neutral, so that held-out cameras need none."""
    refine_cameras: bool = True
    """Turn each camera about its center by what its calibration is off, along with the fit (refine.py). Where they are
    off by 0.5 px, rotations of the tracks err by 0.6 instead of 1.0 degrees and held-out pictures gain 1 dB; exact ones
    lose nothing, and 8 % of time. What all are off by together is seen against a starting cloud (align.py), and
    remains without."""
    harmonics_degree: int = 0
    """Degree of the spherical harmonics by which colors depend on the direction of sight, 0 to 3; 0: they do not."""
    rates: Rates = field(default_factory=Rates)
    """Learning rates."""
    seed: SeedConfig = field(default_factory=SeedConfig)
    """How Gaussians start."""
    densify: DensifyConfig = field(default_factory=DensifyConfig)
    """How their number changes."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            refuse("reconstruct.steps", "at least 1", self.steps)
        if not 1.0 <= self.without_cloud <= 100.0:
            refuse("reconstruct.without_cloud", "a factor of 1 to 100", self.without_cloud)
        if self.views_per_step < 1:
            refuse("reconstruct.views_per_step", "at least 1", self.views_per_step)
        if self.harmonics_degree not in range(4):
            refuse("reconstruct.harmonics_degree", "0, 1, 2 or 3", self.harmonics_degree)


PAPER = ReconstructConfig(
    steps=10_000,
    without_cloud=1.0,
    views_per_step=1,
    image_weight=1.0,
    mask_weight=3.0,
    background_channel=True,
    final_means_rate=1.0,
    neutral_corrections=False,
    refine_cameras=False,
    rates=Rates(1.6e-4, 1e-3, 1e-3, 2.5e-3, 5e-2, 0.0, 1e-4),
    densify=DensifyConfig("all", 500, 5000, 100, 2e-4, 0.01, 0.005, 0.25, 0.1, 3000, 3000, 2_000_000),
)
"""The published protocol (METHOD of the paper and its released code)."""
