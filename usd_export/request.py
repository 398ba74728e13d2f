"""What can be asked of a USD export, checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from usd_export.options import UsdOptions
from warpgs.bodies import DEFORMABLE, Parts
from warpgs.checks import check_camera, check_finite, check_shape, refuse
from warpgs.types import Camera, Tracks


def settle(tracks: Tracks, parts: Parts | None, cameras: Sequence[Sequence[Camera]], options: UsdOptions) -> UsdOptions:
    """The options with their form decided.

    Raises:
        ValueError: Options, parts or cameras that do not fit the tracks, or each other.
        ImportError: a decomposition without the library for it.
    """
    form = options.form or ("raw" if parts is None else "rigid")
    if (form == "rigid") != (parts is not None):
        given = "none" if parts is None else f"{len(parts)} parts"
        refuse(f"form {form}", "parts" if form == "rigid" else "no parts", given, "warpgs.bodies.find_parts finds them")
    if form != "rigid" and (options.dynamic or options.ground):
        refuse("dynamic bodies and the ground", "the rigid form", form)
    check_options(tracks, options)
    if parts is not None:
        _check_parts(tracks, parts)
    if len(cameras) not in (0, len(tracks)) or len({tuple(c.name for c in each) for each in cameras}) > 1:
        rule = f"the same cameras for each of {len(tracks)} timesteps"
        refuse("cameras", rule, f"{len(cameras)} timesteps of {[len(each) for each in cameras]}")
    for camera in (camera for each in cameras for camera in each):
        check_camera(f"camera {camera.name}", camera)
        if camera.orthographic:
            raise NotImplementedError(f"camera {camera.name}: expected a pinhole, got parallel rays")
    return replace(options, form=form)


def check_options(tracks: Tracks, options: UsdOptions) -> None:
    """Refuse options that no parts could make right.

    Raises:
        ValueError: a start that the tracks do not have.
        ImportError: a decomposition without the library for it.
    """
    if options.start is not None and options.start not in tracks.timesteps:
        span = f"one of the timesteps {tracks.timesteps[0]} to {tracks.timesteps[-1]}"
        refuse("UsdOptions: start", span, options.start)
    if options.collider == "decomposition":
        from usd_export.decomposition import check_decomposition

        check_decomposition()


def _check_parts(tracks: Tracks, parts: Parts) -> None:
    steps, count, size = len(tracks), tracks.means.shape[1], len(parts)
    check_shape("parts.part_index", parts.part_index, (count,))
    check_shape("parts.world_from_part", parts.world_from_part, (steps, size, 4, 4))
    check_shape("parts.residual", parts.residual, (steps, size))
    check_shape("parts.birth", parts.birth, (size,))
    check_finite("parts.world_from_part", parts.world_from_part)
    check_finite("parts.residual", parts.residual)
    members = parts.part_index
    if members.min() < DEFORMABLE or members.max() >= size:
        refuse("parts.part_index", f"{DEFORMABLE} to {size - 1}", f"{members.min()} to {members.max()}")
    empty = [name for i, name in enumerate(parts.names) if not (members == i).any()]
    if empty:
        refuse(f"part {empty[0]}", "at least one particle", "none", "leave it out")
    for name in parts.names:
        if not (name.isidentifier() and name.isascii()) or parts.names.count(name) > 1:
            refuse("parts.names", "different names of letters, digits and _", repr(name), "rename the part")
    if size == 0:
        return
    if parts.birth.min() < 0 or parts.birth.max() >= steps:
        refuse("parts.birth", f"instants 0 to {steps - 1}", parts.birth.tolist())
    turns = parts.world_from_part[..., :3, :3]
    error = np.abs(turns @ np.swapaxes(turns, -1, -2) - np.eye(3)).max()
    bottom = np.abs(parts.world_from_part[..., 3, :] - [0.0, 0.0, 0.0, 1.0]).max()
    if error > 1e-6 or bottom > 0.0 or (np.linalg.det(turns) < 0.0).any():
        refuse("parts.world_from_part", "rigid transforms", f"|R R^T - I| up to {error:.3g}, or a mirror image")
