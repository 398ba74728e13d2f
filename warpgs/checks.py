"""Checks at public boundaries. Every error sentence of the project is worded here: ``<what>: expected <rule>, got
<value>; <remedy>``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import warp as wp

from warpgs.types import Camera, Frame, PointCloud


def refuse(what: object, rule: str, got: object, remedy: str = "") -> NoReturn:
    """Raise ValueError in the house's wording."""
    raise ValueError(sentence(what, rule, got, remedy))


def sentence(what: object, rule: str, got: object, remedy: str = "") -> str:
    """``<what>: expected <rule>, got <value>[; <remedy>]``."""
    return f"{what}: expected {rule}, got {got}" + (f"; {remedy}" if remedy else "")


def check_shape(what: object, array: np.ndarray, shape: Sequence[int | None]) -> None:
    """Refuse an array whose shape differs from ``shape`` (None matches any size)."""
    fits = array.ndim == len(shape) and all(s is None or s == a for s, a in zip(shape, array.shape, strict=True))
    if not fits:
        wanted = ", ".join("any" if s is None else str(s) for s in shape)
        refuse(what, f"shape [{wanted}]", list(array.shape))


def check_finite(what: object, array: np.ndarray, remedy: str = "") -> None:
    """Refuse NaN and infinity, naming the first bad index."""
    bad = ~np.isfinite(array)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        refuse(what, "finite numbers", f"{array[index]} at {list(index)} ({int(bad.sum())} in all)", remedy)


def check_harmonics(what: object, harmonics: np.ndarray, count: int) -> None:
    """Refuse what are not coefficients of spherical harmonics of degree 1, 2 or 3 of ``count`` Gaussians."""
    if harmonics.dtype != np.float32:
        raise TypeError(sentence(what, "float32", harmonics.dtype))
    check_shape(what, harmonics, (count, None, 3))
    if harmonics.shape[1] not in (3, 8, 15):
        refuse(what, "3, 8 or 15 coefficients each (degree 1, 2 or 3)", harmonics.shape[1])
    check_finite(what, harmonics)


def check_array(what: str, array: wp.array, dtype: Any, shape: tuple[int, ...]) -> None:
    """Refuse a Warp array of another type or shape."""
    if not wp.types.types_equal(array.dtype, dtype):
        raise TypeError(sentence(what, f"a wp.array of {dtype.__name__}", array.dtype.__name__))
    if tuple(array.shape) != tuple(shape):
        refuse(what, f"shape {list(shape)}", list(array.shape))


def check_camera(what: object, camera: Camera) -> None:
    """Refuse a camera whose calibration cannot be right."""
    check_shape(f"{what}: intrinsics", camera.intrinsics, (3, 3))
    check_shape(f"{what}: world_from_camera", camera.world_from_camera, (4, 4))
    check_finite(f"{what}: intrinsics", camera.intrinsics, "re-run the calibration")
    check_finite(f"{what}: world_from_camera", camera.world_from_camera, "re-run the calibration")
    focal = camera.intrinsics[0, 0], camera.intrinsics[1, 1]
    if min(focal) <= 0.0:
        refuse(f"{what}: focal length", "fx > 0 and fy > 0 [px]", tuple(map(float, focal)), "re-run the calibration")
    if abs(camera.intrinsics[0, 1]) > 1e-6 * focal[0]:
        refuse(f"{what}: skew", "K[0, 1] = 0", float(camera.intrinsics[0, 1]), "resample the pictures without skew")
    if camera.width < 1 or camera.height < 1:
        refuse(f"{what}: image size", "at least 1x1 pixels", f"{camera.width}x{camera.height}")
    rotation = camera.world_from_camera[:3, :3]
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if error > 1e-3 or np.linalg.det(rotation) < 0.0:
        refuse(
            f"{what}: rotation",
            "an orthonormal right-handed matrix",
            f"|R R^T - I| = {error:.3g}, det R = {np.linalg.det(rotation):.3g}",
            "check the pose convention (warpgs wants rigid OpenCV poses)",
        )


def check_frame(what: object, frame: Frame) -> None:
    """Refuse a frame whose pictures do not fit its cameras."""
    if len(frame.images) != len(frame.cameras):
        refuse(what, f"one picture per camera ({len(frame.cameras)})", len(frame.images), "check the camera list")
    if frame.masks is not None and len(frame.masks) != len(frame.cameras):
        refuse(what, f"one mask per camera ({len(frame.cameras)})", len(frame.masks), "check the mask folders")
    for i, camera in enumerate(frame.cameras):
        check_camera(f"{what}: camera {camera.name}", camera)
        check_picture(f"{what}: image of camera {camera.name}", frame.images[i], camera, (3,))
        if frame.masks is not None:
            check_picture(f"{what}: mask of camera {camera.name}", frame.masks[i], camera, ())


def check_picture(what: object, picture: np.ndarray, camera: Camera, channels: tuple[int, ...]) -> None:
    """Refuse a picture that is not uint8 or not of its camera's size."""
    if picture.dtype != np.uint8:
        raise TypeError(sentence(what, "8-bit unsigned pixels", picture.dtype))
    if picture.shape != (camera.height, camera.width, *channels):
        refuse(
            what,
            f"{camera.width}x{camera.height} pixels" + (f" of {channels[0]} channels" if channels else ""),
            f"an array of shape {list(picture.shape)}",
            "re-export the capture at the size its calibration names",
        )


def check_masks_not_empty(what: object, frame: Frame) -> None:
    """Refuse masks that mark nothing in any camera."""
    if frame.masks is not None and not any(mask.any() for mask in frame.masks):
        refuse(what, "some foreground pixels in at least one mask", "only background", "check the mask folder")


def check_point_cloud(what: object, cloud: PointCloud) -> None:
    """Refuse an empty or broken starting cloud."""
    check_shape(f"{what}: points", cloud.points, (None, 3))
    check_shape(f"{what}: colors", cloud.colors, (len(cloud.points), 3))
    if len(cloud.points) == 0:
        refuse(what, "at least one point", 0, "remove the file to start without a cloud")
    check_finite(f"{what}: points", cloud.points, "remove the broken points")
    check_finite(f"{what}: colors", cloud.colors, "remove the broken points")


def check_suffix(path: Path, suffixes: Sequence[str]) -> None:
    """Refuse an output whose kind we do not write."""
    if path.suffix.lower() not in suffixes:
        refuse(path, "a file ending in " + ", ".join(suffixes), repr(path.suffix) if path.suffix else "no suffix")


def check_absent(path: Path, overwrite: bool) -> None:
    """Refuse to overwrite what exists, unless asked."""
    if path.exists() and not overwrite:
        raise FileExistsError(
            sentence(path, "a path that does not exist yet", "an existing one", "pass --overwrite to replace it")
        )


def check_timesteps(what: object, timesteps: range, count: int) -> None:
    """Refuse instants that a scene of ``count`` timesteps does not have."""
    if len(timesteps) == 0:
        refuse(f"{what}: timesteps", "at least one", "none", f"choose from 0:{count}")
    if min(timesteps) < 0 or max(timesteps) >= count:
        got = f"{min(timesteps)} to {max(timesteps)}"
        refuse(f"{what}: timesteps", f"from 0 to {count - 1}", got, f"choose from 0:{count}")
