"""A picture by Newton's ray tracer, and what it must show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import newton
import numpy as np
import warp as wp
from newton.sensors import SensorCamera
from pxr import Usd, UsdGeom
from scipy.spatial.transform import Rotation

from warpgs.render import Renderer
from warpgs.types import Camera, Gaussians

OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0])
MIN_RESPONSE = 0.004
"""Newton cuts splats at a tenth of their height unless told otherwise; this is the last 8-bit gray level, as ours."""
UNIT = 1000.0
"""Sorting by zDepth, which files ask for, Newton 1.8 takes each center to be off by its own product with the scales
(``gaussian_center_world`` in ``ray_gsplat_hit_response``): by a centimeter, which changes the order. The same splats in
kilometers, in a frame that is scaled back to meters, are off by a thousandth of that."""
MAX_HITS = 100
"""Newton counts splats at its every ``gaussians_max_num_hits``-th hit twice: one pass for all."""
FINER = 5
"""Ours widens every splat by half a pixel, Newton does not: of a finer picture, every fifth pixel is compared."""


@dataclass(frozen=True, eq=False)
class NewtonPicture:
    """What Newton sees. Of several splat prims in sight of a pixel it draws the nearest alone, as if it were opaque."""

    color: np.ndarray
    """RGB 0..1, shape [height, width, 3]."""
    prim: np.ndarray
    """Path of the prim in each pixel, empty where there is none, shape [height, width], str."""


def load(path: Path) -> newton.ModelBuilder:
    """A model with everything of a file in it."""
    builder = newton.ModelBuilder()
    builder.add_usd(str(path))
    return builder


def gaussians_of(builder: newton.ModelBuilder) -> dict[str, newton.Gaussian]:
    """Path of each splat prim to its splats."""
    shapes = zip(builder.shape_label, builder.shape_source, strict=True)
    return {label: source for label, source in shapes if isinstance(source, newton.Gaussian)}


def photograph(path: Path, camera: Camera) -> NewtonPicture:
    """What a camera sees of a file at its default time, colliders and lights aside."""
    builder = load(path)
    for index, source in enumerate(builder.shape_source):
        if isinstance(source, newton.Gaussian):
            builder.shape_source[index] = _in_kilometers(source)
            builder.shape_scale[index] = wp.vec3(UNIT, UNIT, UNIT)
        else:
            builder.shape_flags[index] &= ~int(newton.ShapeFlags.VISIBLE)
    model = builder.finalize(device="cpu")
    state = model.state()
    newton.eval_fk(model, model.joint_q, model.joint_qd, state)
    sensor = SensorCamera(model)
    color = sensor.allocate_image_color(1, camera.width, camera.height)
    shape = sensor.allocate_image_shape_index(1, camera.width, camera.height)
    settings = SensorCamera.RenderConfig(
        gaussians_mode=SensorCamera.GaussianRenderMode.QUALITY,
        gaussians_min_transmittance=1.0,
        gaussians_max_num_hits=MAX_HITS,
    )
    sensor.update(
        state, _pose(camera), _rays(camera), color_image=color, shape_index_image=shape, render_config=settings
    )
    labels = np.array([*builder.shape_label, ""])
    rgba = SensorCamera.Utils.to_rgba_from_color(color).numpy()[0]
    return NewtonPicture(rgba[..., :3] / 255.0, labels[np.minimum(shape.numpy()[0], len(labels) - 1)])


def likeness(picture: NewtonPicture, path: Path, gaussians: Gaussians, camera: Camera) -> tuple[float, float]:
    """PSNR [dB] against our picture of ``gaussians`` where the prim that Newton draws hides 99 % of what is behind it,
    and the share of the picture's pixels that this is.

    ``primvars:ids`` of a prim say which of the particles it holds.
    """
    stage, renderer = Usd.Stage.Open(str(path)), Renderer("cpu")
    fine, middle = camera.resized(camera.width * FINER, camera.height * FINER), slice(FINER // 2, None, FINER)
    errors = []
    for label in np.unique(picture.prim[picture.prim != ""]):
        ids = np.array(UsdGeom.PrimvarsAPI(stage.GetPrimAtPath(str(label))).GetPrimvar("ids").Get())
        ours = renderer.view(gaussians.select(ids), fine)
        alpha = ours.alpha[middle, middle]
        here = (picture.prim == label) & (alpha > 0.99)
        expected = np.clip(ours.color[middle, middle][here] / alpha[here, None], 0.0, 1.0)
        errors.append(picture.color[here] - expected)
    joined = np.concatenate(errors)
    return float(-10.0 * np.log10(np.mean(joined**2))), len(joined) / picture.prim.size


def _in_kilometers(gaussian: newton.Gaussian) -> newton.Gaussian:
    return newton.Gaussian(
        positions=gaussian.positions / UNIT,
        rotations=gaussian.rotations,
        scales=gaussian.scales / UNIT,
        opacities=gaussian.opacities,
        sh_coeffs=gaussian.sh_coeffs,
        sh_degree=gaussian.sh_degree,
        sh_color_space=gaussian.sh_color_space,
        min_response=MIN_RESPONSE,
        sorting_mode=gaussian.sorting_mode,
    )


def _pose(camera: Camera) -> wp.array:
    rotation = Rotation.from_matrix(camera.world_from_camera[:3, :3] @ OPENGL_FROM_OPENCV)
    return wp.array([wp.transform(camera.center_world, rotation.as_quat())], dtype=wp.transformf, device="cpu")


def _rays(camera: Camera) -> wp.array:
    """Origins and directions in the camera's frame, shape [height, width, 1, 2]."""
    columns, rows = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    directions = pixels @ np.linalg.inv(camera.intrinsics).T @ OPENGL_FROM_OPENCV
    rays = np.zeros((camera.height, camera.width, 1, 2, 3), np.float32)
    rays[:, :, 0, 1] = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    return wp.array(rays, dtype=wp.vec3f, device="cpu")
