"""Settings of a run. ``PRESETS["fast"]`` is what a user wants on a laptop, ``accurate`` takes more time over it,
``few-view`` is for a handful of cameras, ``paper`` is the published protocol."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from warpgs.checks import refuse
from warpgs.reconstruct.config import PAPER as PAPER_RECONSTRUCT
from warpgs.reconstruct.config import DensifyConfig, ReconstructConfig


def _check_least(prefix: str, settings: object, **least: float) -> None:
    """Refuse fields below a least value, or not finite."""
    for name, smallest in least.items():
        value = getattr(settings, name)
        if not smallest <= value < math.inf:
            refuse(f"{prefix}.{name}", f"at least {smallest:g}", value)


def _check_positive(prefix: str, settings: object, *names: str) -> None:
    """Refuse fields that are given and not positive."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not 0.0 < value < math.inf:
            refuse(f"{prefix}.{name}", "more than 0", value)


@dataclass(frozen=True)
class RigidConfig:
    """Rigid pre-alignment: before particles move freely, clusters of them move as rigid bodies."""

    clusters: int = 40
    """Number of k-means clusters of the foreground at the first timestep; 0 leaves the stage out."""
    steps: int = 100
    """Optimization steps at every timestep but the second. With 60, a body that is hit was up to 6 cm off until the
    timestep after."""
    first_steps: int = 180
    """Steps at the second timestep, where no velocity is known yet, at the one after something entered, and where the
    prediction misses: see ``miss``."""
    miss: float = 3.0 / 320.0
    """The prediction misses where half of the pictures show foreground beside it at least twice this wide, share of the
    picture's longer side: six pixels of 320. A ball that hit the floor was 8 cm off for ten timesteps, as its clusters
    had no steps left to turn back; now 0.7 cm."""
    shift_rate: float = 1.2e-3
    """Adam rate of a cluster's translation [scene radii]."""
    turn_rate: float = 2e-2
    """Adam rate of a cluster's rotation [rad]."""
    final_rate: float = 0.1
    """Both rates decay to this share."""

    def __post_init__(self) -> None:
        _check_least("follow.rigid", self, clusters=0, steps=0, first_steps=0, shift_rate=0.0, turn_rate=0.0)
        _check_positive("follow.rigid", self, "final_rate", "miss")


@dataclass(frozen=True)
class SearchConfig:
    """Bodies that the prediction misses are looked for, before anything is optimized."""

    draws: int = 256
    """Poses tried for each body in each of eight rounds; 0 leaves the search out."""
    shift: float = 0.03
    """How far away is looked, standard deviation along each axis [scene radii]: 8 cm where cameras stand 2.5 m away."""
    turn: float = 0.35
    """The same of the rotation about each axis [rad]: 20 degrees."""
    gain: float = 0.1
    """By how much less unlike, 0..1, pictures must be at another pose than at the predicted one for it to be taken.
    What is less far off, 2 cm in scenes 2 m across, the optimization finds."""

    def __post_init__(self) -> None:
        _check_least("follow.search", self, draws=0, gain=0.0)
        _check_positive("follow.search", self, "shift", "turn")
        if 0 < self.draws < 32:
            refuse("follow.search.draws", "0 or at least 32", self.draws)


@dataclass(frozen=True)
class FreeConfig:
    """Every particle moves and turns by itself, held by the priors."""

    steps: int = 60
    """Optimization steps at every timestep. What ``accurate`` gains with twice as many is told there."""
    means_rate: float = 1.6e-3
    """Adam rate of the centers [scene radii]; ten times the published one, because the steps are a thirtieth as
    many."""
    rotations_rate: float = 5e-3
    """Adam rate of the quaternions; five times the published one, as the steps are fewer."""
    final_rate: float = 0.1
    """Both rates decay to this share."""

    def __post_init__(self) -> None:
        _check_least("follow.free", self, steps=1, means_rate=0.0, rotations_rate=0.0)
        _check_positive("follow.free", self, "final_rate")


@dataclass(frozen=True)
class PriorConfig:
    """What holds particles together. Lengths are in scene radii unless ``length_unit_m`` is given."""

    neighbors: int = 20
    """Nearest foreground particles of each; as published."""
    rigidity: float = 14.0
    """Weight of local rigidity. 14 per scene radius is the published 4 per metre in a studio of radius 3.5 m."""
    rotation: float = 4.0
    """Weight of equal rotation of neighbors; an angle has no unit, so it is the published one."""
    isometry: float = 7.0
    """Weight of constant distances; the published 2 per metre, as above."""
    momentum: float = 1e-3
    """Weight of the last velocity and spin; deviations count as squares up to the spacing of particles, and linearly
    beyond. So light that pictures decide wherever there are any. Without it what goes out of sight slows down, as Adam
    makes whole steps of the slightest gradients: a puck came out of a tunnel 6 cm behind and was lost, or not, by
    chance."""
    background: float = 20.0
    """Weight that holds background particles; without effect while they are frozen."""
    ground: float = 0.0
    """Weight that keeps foreground above the floor. Off: on no scene at hand do tracks differ with the published 2 per
    metre (7 per scene radius, as above)."""
    floor: tuple[float, float, float, float] | None = None
    """Unit normal (upwards) and offset [m] of the floor: points on it have normal . x + offset = 0, world frame. By
    default it is found among the particles of the first timestep; a scene without one does without this prior."""
    reference: Literal["first", "previous"] = "first"
    """Timestep that rigidity and rotation refer to. The paper's is the previous one; errors then add up."""
    sigma_neighbors: float = 1.0
    """Distance at which a pair's weight falls to exp(-1/2), in median distances of the last neighbor."""
    sigma_m: float | None = None
    """The same as a fixed length [m], in place of ``sigma_neighbors``."""
    length_unit_m: float | None = None
    """Unit of lengths in the weights above [m]; by default the scene radius."""
    tracked_rotation: float = 0.1
    """After a timestep, rotations become the rigid fit of the neighbors plus this share of the tracked ones; 1: no
    fit."""

    def __post_init__(self) -> None:
        weights = dict.fromkeys(("rigidity", "rotation", "isometry", "momentum", "background", "ground"), 0.0)
        _check_least("follow.priors", self, neighbors=1, **weights)
        _check_positive("follow.priors", self, "sigma_neighbors", "sigma_m", "length_unit_m")
        if not 0.0 <= self.tracked_rotation <= 1.0:
            refuse("follow.priors.tracked_rotation", "a share from 0 to 1", self.tracked_rotation)
        if self.floor is not None and not abs(math.hypot(*self.floor[:3]) - 1.0) < 1e-6:
            refuse("follow.priors.floor", "a unit normal and an offset", self.floor, "divide all four by its length")


@dataclass(frozen=True)
class BirthConfig:
    """Particles for what enters after the first timestep: foreground of the masks that none explains."""

    enabled: bool = True
    """Whether anything is born."""
    rim: float = 1.0 / 320.0
    """Unexplained pixels less than twice this wide are left out, share of the picture's longer side: a pixel of 320.
    Ragged masks and slight errors of tracking leave such rims around everything."""
    pixel_share: float = 5e-4
    """Share of a picture that must be unexplained for the picture to count: 29 pixels of 320x180."""
    views: int = 4
    """Pictures that must count, and views that must see each point unexplained; all but one where there are fewer
    cameras. Two may agree by chance, and what two or three agree on reaches far out."""
    view_share: float = 0.6
    """Share of the views with foreground at a point that must see it unexplained."""
    cells: int = 30
    """Smallest volume, in voxels of the seed's hull."""
    wait: int = 1
    """Timesteps at which something must have been found before, without a break: no single broken mask makes
    particles, and what comes in over the border of the pictures has time to."""
    steps: int = 300
    """Optimization steps of the new particles, while all else stands still; half as many as all have at the first
    timestep. 100 leave some astray that the hull made up: 0.6 cm of error after them, not 0.3."""

    def __post_init__(self) -> None:
        _check_least("follow.births", self, views=2, cells=1, wait=0, steps=0)
        _check_positive("follow.births", self, "rim")
        for name in ("pixel_share", "view_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                refuse(f"follow.births.{name}", "a share from 0 to 1", getattr(self, name))


@dataclass(frozen=True)
class FollowConfig:
    """How every timestep after the first is tracked."""

    views_per_step: int = 2
    """Training views rendered in every step."""
    image_weight: float = 3.0
    """Weight of the color loss."""
    mask_weight: float = 1.0
    """Weight of the mask loss. A heavier one pulls particles inward, whose soft edges reach over the outline: at 3, a
    fifth to a third more error on all scenes; without it a ball is lost at an impact."""
    background_channel: bool = False
    """Compare the rendered background share with the mask too, as the published protocol does."""
    prediction: Literal["rigid", "linear", "none"] = "rigid"
    """Start of a timestep: each cluster goes on with its rigid motion, each particle with its own velocity, or as it
    was."""
    regroup: bool = True
    """Choose neighbors and clusters anew at every timestep, among those that have moved together so far. Bodies that
    touch at the first timestep would else stay tied to each other: a box that slides off another was 7 cm off."""
    freeze_background: bool = True
    """Only foreground particles move; saves most of the backward pass."""
    search: SearchConfig = field(default_factory=SearchConfig)
    """Start of a timestep for bodies that the prediction misses."""
    rigid: RigidConfig = field(default_factory=RigidConfig)
    """First stage."""
    free: FreeConfig = field(default_factory=FreeConfig)
    """Second stage."""
    priors: PriorConfig = field(default_factory=PriorConfig)
    """Terms on particles, in both stages."""
    births: BirthConfig = field(default_factory=BirthConfig)
    """What enters later."""

    def __post_init__(self) -> None:
        _check_least("follow", self, views_per_step=1, image_weight=0.0, mask_weight=0.0)
        if self.prediction == "rigid" and self.rigid.clusters < 1:
            refuse("follow.rigid.clusters", "at least 1 for a rigid prediction", self.rigid.clusters)


@dataclass(frozen=True)
class TrackConfig:
    """All settings of a run; together with the scene and the timesteps they determine its result."""

    device: str = "auto"
    """auto (the first CUDA device, or the CPU where there is none), cpu, cuda:0, ..."""
    threads: int = 0
    """CPU threads; 0: all cores. Changes nothing but the time."""
    seed: int = 0
    """Seed of every random choice."""
    image_scale: float = 1.0
    """Pictures are resampled by this factor before they are fitted. The frame and unit of the results stay."""
    use_cloud: bool = True
    """Start from the scene's point cloud where it has one. It shows timestep 0: a later start does without."""
    motion_masks: bool = True
    """Where a scene has no masks and its cameras stand still, make them from what moves over the whole recording."""
    reconstruct: ReconstructConfig = field(default_factory=ReconstructConfig)
    """The first timestep."""
    follow: FollowConfig = field(default_factory=FollowConfig)
    """Every later timestep."""

    def __post_init__(self) -> None:
        if not 0.0 < self.image_scale <= 4.0:
            refuse("image_scale", "more than 0 and at most 4", self.image_scale)


PAPER = TrackConfig(
    reconstruct=PAPER_RECONSTRUCT,
    follow=FollowConfig(
        views_per_step=1,
        image_weight=1.0,
        mask_weight=3.0,
        background_channel=True,
        prediction="linear",
        regroup=False,
        freeze_background=False,
        search=SearchConfig(draws=0),
        rigid=RigidConfig(clusters=0),
        free=FreeConfig(steps=2000, means_rate=1.6e-4, rotations_rate=1e-3, final_rate=1.0),
        priors=PriorConfig(
            rigidity=4.0,
            rotation=4.0,
            isometry=2.0,
            momentum=0.0,
            background=20.0,
            ground=2.0,
            reference="previous",
            sigma_m=2000.0**-0.5,
            length_unit_m=1.0,
            tracked_rotation=1.0,
        ),
        births=BirthConfig(enabled=False),
    ),
)
"""The published protocol, in the metres of its studio. The weight of a pair is the square root of the paper's formula
(sigma 2.2 cm), as in the released code and as the paper's text says."""

ACCURATE = TrackConfig(
    reconstruct=ReconstructConfig(steps=1500, densify=DensifyConfig(stop=800)),
    follow=FollowConfig(rigid=RigidConfig(steps=150), free=FreeConfig(steps=120)),
)
"""About twice the steps of ``fast``. On tumbling bodies: median error 0.17 -> 0.13 cm, rotation 0.9 -> 0.6 degrees, and
the largest error of a body at an impact 0.5 -> 0.3 cm."""

FEW_VIEW = TrackConfig(
    reconstruct=ReconstructConfig(views_per_step=4),
    follow=FollowConfig(
        views_per_step=4, rigid=RigidConfig(steps=150), priors=PriorConfig(rigidity=60.0, isometry=60.0)
    ),
)
"""For about four cameras. What one camera cannot see, no other corrects: the priors weigh four and eight times as much,
every step sees four views, and more steps make up for what heavy priors slow down. On tumbling bodies seen by four
cameras: median error 0.47 -> 0.28 cm, rotation 3.3 -> 1.2 degrees; with the heavy priors alone a ball is lost at an
impact."""

PRESETS: dict[str, TrackConfig] = {"fast": TrackConfig(), "accurate": ACCURATE, "few-view": FEW_VIEW, "paper": PAPER}
"""Name to settings."""
