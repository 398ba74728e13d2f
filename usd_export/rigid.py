"""The rigid form: bodies that move, each with particles that stand still in its frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, UsdSemantics

from usd_export.decomposition import convex_pieces
from usd_export.fields import Field, birth_instants, births_of
from usd_export.form import opacities
from usd_export.hull import Hull, hull_of
from usd_export.motion import velocities
from usd_export.options import UsdOptions
from usd_export.physics import center_of_mass, make_body, set_velocity, write_collider, write_ground
from usd_export.poses import Gather, pose_in_part
from usd_export.splats import SplatPrim
from usd_export.stage import ROOT
from warpgs.bodies import BACKGROUND, Parts
from warpgs.devices import thread_count
from warpgs.math.rigid import steady_quaternions
from warpgs.types import Gaussians, Tracks


def sampled_particles(tracks: Tracks, parts: Parts) -> np.ndarray:
    """Whether each particle has samples of its own, as no part and not the background carries it, shape [n], bool."""
    return (parts.part_index < 0) & ((parts.part_index != BACKGROUND) | (births_of(tracks) > 0))


def write_rigid(
    stage: Usd.Stage, tracks: Tracks, parts: Parts, options: UsdOptions, made: Callable[[int], None]
) -> Field | None:
    """Bodies under ``Parts``, what stands still as ``Background``, what deforms as ``Deformable``.

    ========================  =========================================================================================
    Parts/<name>              a body: translate and orient, samples of both where it moves; mass; semantic label
    Parts/<name>/Splats       its particles, in its frame, where they were on average (see ``pose_in_part``)
    Parts/<name>/Collider...  convex meshes that are not drawn
    Background                a field without samples: particles that stand still from the first timestep on
    Deformable                the field of the raw form: all others
    PhysicsScene, Ground      on request
    ========================  =========================================================================================

    The axes of a part are the world's at its first instant (of a ``dynamic`` file: at its start), and so harmonics hold
    as they are: in the frame of the part, with which they turn. What is born later is invisible before, a part by its
    visibility, particles of a part by their opacities. Defaults are those of the first timestep.

    ``made`` is called with the number of parts done so far: convex pieces take a while.

    Returns:
        What is to be sampled, if anything.
    """
    start = 0 if options.start is None else tracks.timesteps.index(options.start)
    sampled = sampled_particles(tracks, parts)
    bodies = []
    UsdGeom.Scope.Define(stage, f"{ROOT}/Parts")
    with ThreadPoolExecutor(thread_count(0), "warpgs-parts") as pool:
        found = pool.map(lambda index: _part(tracks, parts, index, options, start), range(len(parts)))
        for count, part in enumerate(found, 1):
            if part is not None:
                bodies.append(_write_part(stage, f"{ROOT}/Parts/{part.name}", tracks, part, options, start))
            made(count)
    if bodies and (options.ground or options.dynamic):
        lowest = min(float(corners[:, 2].min()) for corners in bodies)  # nothing starts inside the ground
        write_ground(stage, lowest if options.ground_height is None else min(lowest, options.ground_height))
    still = ~sampled & (parts.part_index < 0)
    if still.any():
        ids = np.flatnonzero(still)
        background = _in_frame(tracks, ids, np.tile(np.eye(4), (len(tracks), 1, 1)), 0.0)
        _label(_define_still(stage, f"{ROOT}/Background", background, ids, options).schema.GetPrim(), "background")
    if options.dynamic:
        sampled &= births_of(tracks) <= start
        tracks = tracks.since(start)
    if not sampled.any():
        return None
    ids = np.flatnonzero(sampled)
    prim = SplatPrim(stage, f"{ROOT}/Deformable", tracks.all_at(0).select(ids), ids, options.half)
    _label(prim.schema.GetPrim(), "deformable")
    field = Field([prim], tracks, ids)
    if not options.dynamic:
        return field
    field.still()
    return None


@dataclass(frozen=True, eq=False)
class _Part:
    """A part as it is written."""

    name: str
    birth: int
    """Index of its first instant."""
    ids: np.ndarray
    """Its particles, shape [m]."""
    world_from_part: np.ndarray
    """Shape [t, 4, 4]."""
    gaussians: Gaussians
    """In the part's frame."""
    hull: Hull
    """What it weighs."""
    colliders: dict[str, Hull]
    """What is touched, by the names of the prims."""


def _part(tracks: Tracks, parts: Parts, index: int, options: UsdOptions, start: int) -> _Part | None:
    """A part and its particles; None where a dynamic file starts before any is there."""
    ids, birth, world_from_part = parts.members(index), int(parts.birth[index]), parts.world_from_part[:, index]
    if options.dynamic:
        ids = ids[births_of(tracks)[ids] <= start]
        if birth > start or len(ids) == 0:
            return None
        # Axes parallel to the world's at the start: readers disagree in whose frame velocities are.
        turn = np.eye(4)
        turn[:3, :3] = world_from_part[start, :3, :3].T
        world_from_part = world_from_part @ turn
    noise = float(np.median(parts.residual[birth:, index]))
    gaussians = _in_frame(tracks, ids, world_from_part, noise)
    hull = hull_of(gaussians)
    colliders = {"Collider": hull} if options.collider == "hull" else {}
    if options.collider == "decomposition":
        colliders = {f"Collider_{i:02d}": piece for i, piece in enumerate(convex_pieces(gaussians))}
    return _Part(parts.names[index], birth, ids, world_from_part, gaussians, hull, colliders)


def _in_frame(tracks: Tracks, ids: np.ndarray, world_from_part: np.ndarray, noise: float) -> Gaussians:
    """Particles in a frame that carries them."""
    births = births_of(tracks)[ids]
    means, rotations_wxyz = pose_in_part(tracks.means, tracks.rotations_wxyz, ids, births, world_from_part, noise)
    return replace(tracks.all_at(0).select(ids), means=means, rotations_wxyz=rotations_wxyz)


def _define_still(stage: Usd.Stage, path: str, gaussians: Gaussians, ids: np.ndarray, options: UsdOptions) -> SplatPrim:
    """A field without samples."""
    prim = SplatPrim(stage, path, gaussians, ids, options.half)
    gather = Gather(np.arange(len(ids)), gaussians.log_scales)
    prim.pose(gather(gaussians.means, gaussians.rotations_wxyz), None, Usd.TimeCode.Default())
    return prim


def _write_part(
    stage: Usd.Stage, path: str, tracks: Tracks, part: _Part, options: UsdOptions, start: int
) -> np.ndarray:
    """Write a part; returns the corners of its hull at the start, world frame [m], shape [n, 3]."""
    xform = UsdGeom.Xform.Define(stage, path)
    prim = xform.GetPrim()
    splats = _define_still(stage, f"{path}/Splats", part.gaussians, part.ids, options)
    make_body(prim, part.hull, options.density, kinematic=not options.dynamic)
    _label(prim, part.name)
    for name, hull in part.colliders.items():
        write_collider(stage, f"{path}/{name}", hull)
    if options.dynamic:
        _place(xform, part.world_from_part[[start]])
        linear, angular = velocities(tracks, part.world_from_part, start, part.birth, center_of_mass(prim))
        set_velocity(prim, linear, angular)
    else:
        _animate(xform, splats, tracks, part)
    return part.hull.vertices @ part.world_from_part[start, :3, :3].T + part.world_from_part[start, :3, 3]


def _animate(xform: UsdGeom.Xform, splats: SplatPrim, tracks: Tracks, part: _Part) -> None:
    """Sample the poses of a part, and hide what is not born yet."""
    times = [Usd.TimeCode(timestep) for timestep in tracks.timesteps]
    moves = (part.world_from_part != part.world_from_part[0]).any()
    _place(xform, part.world_from_part, tracks.timesteps if moves else ())
    if part.birth > 0:
        visibility = xform.CreateVisibilityAttr(UsdGeom.Tokens.invisible)  # tokens are held until the next sample
        visibility.Set(UsdGeom.Tokens.invisible, times[0])
        visibility.Set(UsdGeom.Tokens.inherited, times[part.birth])
    births = births_of(tracks)[part.ids]
    births = np.where(births <= part.birth, 0, births)
    shown = opacities(part.gaussians.opacity_logits)
    for index in birth_instants(births):
        for time in (Usd.TimeCode.Default(), times[0]) if index == 0 else (times[index],):
            splats.show(np.where(births <= index, shown, np.float32(0.0)), time)


def _place(xform: UsdGeom.Xform, poses: np.ndarray, timesteps: Sequence[int] = ()) -> None:
    """Author rigid transforms, shape [t, 4, 4]: the first as the default, each as the sample of its timestep."""
    translate, orient = xform.AddTranslateOp(), xform.AddOrientOp(UsdGeom.XformOp.PrecisionDouble)
    translations = [Gf.Vec3d(*values) for values in poses[:, :3, 3].tolist()]
    turns = [Gf.Quatd(w, x, y, z) for x, y, z, w in steady_quaternions(poses[:, :3, :3]).tolist()]
    layer = xform.GetPrim().GetStage().GetRootLayer()
    for op, values in ((translate, translations), (orient, turns)):
        op.Set(values[0])
        with Sdf.ChangeBlock():
            for timestep, value in zip(timesteps, values, strict=False):
                layer.SetTimeSample(op.GetAttr().GetPath(), timestep, value)  # a sixth of the time of op.Set


def _label(prim: Usd.Prim, label: str) -> None:
    """What a prim is, for semantic segmentation."""
    UsdSemantics.LabelsAPI.Apply(prim, "class").CreateLabelsAttr([label])
