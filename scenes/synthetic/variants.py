"""Ways to make a built-in scene harder, named as the command line takes them: ``tumble+exposure+ragged_masks``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial.transform import Rotation

from scenes.synthetic.options import SyntheticOptions
from scenes.synthetic.varied import Rng, Variant
from warpgs.similarity import Similarity
from warpgs.types import Camera, PointCloud

EXPOSURE = 0.15
"""Spread of the cameras' exposures: standard deviation of the natural logarithm."""
WHITE_BALANCE = 0.06
"""The same for each channel by itself."""
EDGE_PX, EDGE_GRAIN_PX = 1.5, 3.0
"""Standard deviation of the shift of a ragged mask's edge, and the length over which it changes [px]."""
BLOTS, BLOT_PX = 3, (2.0, 6.0)
"""Holes in a ragged mask, and as many blots beside it; their radii [px]."""
CENTER_PX, PLACE_M = 0.5, 0.002
"""Standard deviations of the principal point [px] and of the optical center [m], along each axis."""
CLOUD_M, OUTLIERS, OUTLIER_M = 0.01, 0.02, 0.2
"""Standard deviation of a noisy cloud [m], share of outliers, and their standard deviation [m]."""


def unbalanced(image: np.ndarray, generator: Rng) -> np.ndarray:
    """A picture through another exposure and white balance; what is too bright is clipped."""
    gain = np.exp(generator.normal(0.0, EXPOSURE) + generator.normal(0.0, WHITE_BALANCE, 3))
    return np.clip(np.rint(image * gain), 0.0, 255.0).astype(np.uint8)


def ragged(mask: np.ndarray, generator: Rng) -> np.ndarray:
    """A mask as a segmentation network makes it: 0 or 255, edges that wander, holes, blots beside the object."""
    inside = mask >= 128
    if not inside.any():
        return np.zeros_like(mask)
    depth = distance_transform_edt(inside) - distance_transform_edt(~inside)
    wander = gaussian_filter(generator.normal(size=mask.shape), EDGE_GRAIN_PX)
    rough = depth + EDGE_PX / max(wander.std(), 1e-12) * wander > 0.0
    near = (depth < 0.0) & (depth > -20.0)
    y, x = np.indices(mask.shape)
    for places, value in ((np.argwhere(inside), False), (np.argwhere(near), True)):
        for _ in range(BLOTS if len(places) else 0):
            row, column = places[generator.integers(len(places))]
            rough[np.hypot(y - row, x - column) < generator.uniform(*BLOT_PX)] = value
    return np.where(rough, 255, 0).astype(np.uint8)


def miscalibrated(camera: Camera, generator: Rng) -> Camera:
    """The camera with a small error in its principal point and its place."""
    intrinsics, pose = camera.intrinsics.copy(), camera.world_from_camera.copy()
    intrinsics[:2, 2] += generator.normal(0.0, CENTER_PX, 2)
    pose[:3, 3] += generator.normal(0.0, PLACE_M, 3)
    return replace(camera, intrinsics=intrinsics, world_from_camera=pose)


def scattered(cloud: PointCloud, generator: Rng) -> PointCloud:
    """A cloud as depth cameras make it: noise everywhere, and points far off."""
    sigma = np.where(generator.random(len(cloud.points)) < OUTLIERS, OUTLIER_M, CLOUD_M)
    noise = sigma[:, None] * generator.normal(size=cloud.points.shape)
    return replace(cloud, points=(cloud.points + noise).astype(np.float32))


def unlabeled(cloud: PointCloud, generator: Rng) -> PointCloud:
    """A cloud that does not say what moves."""
    return replace(cloud, foreground=None)


def _four(options: SyntheticOptions) -> SyntheticOptions:
    return replace(options, train_cameras=4)


def _take2(options: SyntheticOptions) -> SyntheticOptions:
    return replace(options, seed=options.seed + 1)


def _no_masks(options: SyntheticOptions) -> SyntheticOptions:
    return replace(options, has_masks=False)


def _no_cloud(options: SyntheticOptions) -> SyntheticOptions:
    return replace(options, has_cloud=False)


VARIANTS: dict[str, Variant] = {
    "four": Variant("four training cameras only, and the held-out ones between them", options=_four),
    "exposure": Variant("every training camera has an exposure and a white balance of its own", image=unbalanced),
    "ragged_masks": Variant("training masks with wandering edges, holes and blots, another in each", mask=ragged),
    "no_masks": Variant("no masks, and a cloud that does not say what moves", options=_no_masks, cloud=unlabeled),
    "noisy_cloud": Variant("a starting cloud with 1 cm of noise and 2 % outliers", cloud=scattered),
    "no_cloud": Variant("no starting cloud", options=_no_cloud),
    "calibration": Variant("training cameras claim to stand 2 mm and 0.5 px off", camera=miscalibrated),
    "small": Variant("all lengths times 0.01", new_from_old=Similarity(scale=0.01)),
    "large": Variant("all lengths times 100", new_from_old=Similarity(scale=100.0)),
    "turned": Variant(
        "the world is turned about a slanted axis: z is not up",
        new_from_old=Similarity(rotation=Rotation.from_rotvec([0.9, -0.5, 1.3]).as_matrix()),
    ),
    "far": Variant(
        "the world's origin is 1 km away", new_from_old=Similarity(translation=np.array([600.0, -640.0, 480.0]))
    ),
    "shuffled": Variant("the training cameras come in another order", shuffles=True),
    "take2": Variant("the same bodies with another seed: other motion and other noise", options=_take2),
}
"""Changes by name; any number of them apply to a built-in scene, from left to right."""
