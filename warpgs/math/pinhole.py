"""Views on the device, pinhole or orthographic, and the constants of the projection of one Gaussian (EWA splatting,
Zwicker et al. 2001)."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import warp as wp

from warpgs.checks import refuse
from warpgs.types import Camera

LOW_PASS_PX2 = 0.3
"""Added to the variance of every splat [px^2], so that none falls between pixels."""
CLAMP = 1.3
"""The Jacobian is evaluated at most this many half fields of view off axis: beyond, its linearization explodes."""


@cache
def view_struct(dtype: type) -> Any:
    """The Warp struct of one camera in ``dtype``: kernels read it from an array, so that a captured graph can change
    cameras."""
    matrix = wp.types.matrix((3, 3), dtype)
    vec3 = wp.types.vector(3, dtype)
    vec2 = wp.types.vector(2, dtype)

    class View:
        rotation: matrix  # camera from world
        translation: vec3  # camera from world
        focal_px: vec2  # of an orthographic view, px per metre
        center_px: vec2
        tangent_limit: vec2  # see CLAMP; 0 of an orthographic view, which is linear
        near: dtype  # closest z that is drawn
        width: wp.int32
        height: wp.int32
        orthographic: wp.bool

    return wp.struct(View)


def upload_views(cameras: Sequence[Camera], near: float, device: wp.DeviceLike, dtype: type = wp.float32) -> wp.array:
    """Copy cameras to the device.

    Args:
        cameras: c of them.
        near: Distance of the near plane from the optical center [m], > 0.
        device: Where the views go.
        dtype: wp.float32 or wp.float64.

    Returns:
        Array of ``view_struct(dtype)``, shape [c].
    """
    if not 0.0 < near < np.inf:
        refuse("near", "a distance > 0 [m]", near)
    struct = view_struct(dtype)
    views = []
    for camera in cameras:
        k, pose = camera.intrinsics, camera.camera_from_world
        half_px = (not camera.orthographic) * CLAMP * 0.5 * np.array([camera.width, camera.height])
        view = struct()
        view.rotation = pose[:3, :3].ravel().tolist()
        view.translation = pose[:3, 3].tolist()
        view.focal_px = [k[0, 0], k[1, 1]]
        view.center_px = [k[0, 2], k[1, 2]]
        view.tangent_limit = (half_px / [k[0, 0], k[1, 1]]).tolist()
        view.near = near
        view.width = camera.width
        view.height = camera.height
        view.orthographic = camera.orthographic
        views.append(view)
    return wp.array(views, dtype=struct, device=device)
