"""USD to tracks: every field of Gaussians that a stage holds, still or moving, ours or others'."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pxr import Gf, Usd, UsdGeom

from usd_export.reading.field import POSITIONS, Field, find_fields, open_stage
from usd_export.reading.form import check_memory, opacity_logits
from usd_export.reading.share import Share
from warpgs.checks import refuse, sentence
from warpgs.types import Tracks

Z_UP_FROM_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""x stays, y becomes z."""

FRACTIONS = 1000
"""Time samples may lie at multiples of one of 1, 1/2, 1/3 ... so many time codes."""
TIME_TOLERANCE = 0.01
"""How far from such a multiple, as a share of it: others write times in seconds, with a few digits."""

BYTES = 4 * (3 + 4 + 1 + 2)
"""Of a particle at an instant: pose, opacity, judgment."""


@dataclass(frozen=True, eq=False)
class Instants:
    """When a stage is read."""

    codes: list[Usd.TimeCode]
    """Where something is sampled, t of them, rising; the default alone where nothing ever is."""
    timesteps: tuple[int, ...]
    """The same in whole steps."""
    fps: float
    """Steps per second."""


Place = tuple[Share, np.ndarray]
"""What a field contributes, and the index of each of its particles in the tracks."""


def read_usd(path: Path) -> Tracks:
    """Read all fields of Gaussians of a stage at the union of their time samples.

    Converted to z up and metres (a stage that does not say its unit is in centimetres, as USD has it); transforms of
    parents are applied, whose scale must be uniform and constant. Sizes and colors are those of the first time sample.
    Harmonics are turned into the world frame as the field stands at the first instant. Particles are in the order of
    ``primvars:ids`` where all have them, and no two the same. ``primvars:foreground`` says what is foreground; without,
    what moves is. What is not visible, or has opacity 0, up to an instant is born at the next; fields that never are
    visible are left out.

    Raises:
        ValueError: not such a file, damaged, or values that cannot be Gaussians; a transform that shears or mirrors.
        NotImplementedError: a transform whose scale changes; time samples of no common step.
    """
    stage = open_stage(path)
    fields = find_fields(stage)
    for field in fields:
        for name in field.mistyped():
            refuse(f"{path}: {field.path}.{name}", "the type of the schema", "another", "warpgs check says more")
    instants = _instants(path, stage, fields)
    shares = [_share(path, stage, field) for field in fields]
    shares = [share for share in shares if share.count and any(map(share.field.is_visible, instants.codes))]
    if not shares:
        refuse(path, "at least one visible UsdVol.ParticleField3DGaussianSplat with particles", "none")
    check_memory(path, [len(instants.codes), sum(share.count for share in shares)], BYTES)
    opacities, birth, ever = map(
        np.concatenate, zip(*(share.presence(instants.codes) for share in shares), strict=True)
    )
    first = int(birth[ever].min()) if ever.any() else 0
    codes = instants.codes[first:]
    birth = np.where(ever, birth - first, 0)
    order = np.lexsort((_order(shares), birth))
    birth = birth[order].astype(np.int32)
    rows = np.empty_like(order)  # where each particle goes
    rows[order] = np.arange(len(order))
    ends = np.cumsum([share.count for share in shares])
    places = list(zip(shares, np.split(rows, ends[:-1]), strict=True))
    return Tracks(
        **_poses(places, codes, birth),
        **_looks(places, codes[0]),
        opacity_logits=opacity_logits(str(path), opacities[order]),
        timesteps=instants.timesteps[first:],
        fps=instants.fps,
        birth=birth,
        camera_names=(),
        camera_log_gains=np.zeros((0, 3), np.float32),
        camera_offsets=np.zeros((0, 3), np.float32),
        **_judgments(places, codes),
        **_recorded(stage),
    )


def _instants(path: Path, stage: Usd.Stage, fields: list[Field]) -> Instants:
    """When anything of the fields is sampled, in steps of which every sample is a whole number."""
    times = np.array(sorted({time for field in fields for time in field.pose_times()}))
    rate = stage.GetTimeCodesPerSecond()
    if not len(times):
        return Instants([Usd.TimeCode.Default()], (max(int(stage.GetStartTimeCode()), 0),), rate)
    for parts in range(1, FRACTIONS + 1):
        steps = np.rint(parts * times)
        if np.abs(parts * times - steps).max() <= TIME_TOLERANCE and (np.diff(steps) > 0).all():
            steps -= min(steps[0], 0.0)
            return Instants([Usd.TimeCode(time) for time in times], tuple(map(int, steps)), parts * rate)
    rule = f"time samples at multiples of one of 1, 1/2 ... 1/{FRACTIONS} time codes"
    raise NotImplementedError(sentence(path, rule, f"{times[:4].tolist()} ...", "resample the animation"))


def _share(path: Path, stage: Usd.Stage, field: Field) -> Share:
    positions = field.first(POSITIONS)
    return Share(path, field, world_from_stage(stage), 0 if positions is None else len(positions))


def world_from_stage(stage: Usd.Stage) -> np.ndarray:
    """To z up and metres, shape [4, 4]."""
    unit_m = UsdGeom.GetStageMetersPerUnit(stage)
    up = Z_UP_FROM_Y_UP if UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.y else np.eye(4)
    return np.diag([unit_m, unit_m, unit_m, 1.0]) @ up


def _order(shares: list[Share]) -> np.ndarray:
    """What to sort particles by: their ids where all have one of their own, otherwise their order in the stage."""
    ids = [share.ids() for share in shares]
    known = np.concatenate([each for each in ids if each is not None] or [np.zeros(0, np.int64)])
    count = sum(share.count for share in shares)
    return known if len(np.unique(known)) == count else np.arange(count)


def _poses(places: list[Place], codes: list[Usd.TimeCode], birth: np.ndarray) -> dict[str, np.ndarray]:
    """Poses of all instants; until their birth particles wait in that of their birth."""
    means, rotations_wxyz = (np.empty((len(codes), len(birth), size), np.float32) for size in (3, 4))
    for share, rows in places:
        for i, pose in enumerate(share.poses(codes)):
            means[i, rows], rotations_wxyz[i, rows] = pose
    for i in reversed(range(int(birth.max()))):
        late = np.searchsorted(birth, i, side="right")
        for poses in (means, rotations_wxyz):
            poses[i, late:] = poses[i + 1, late:]
    return {"means": means, "rotations_wxyz": rotations_wxyz}


def _looks(places: list[Place], code: Usd.TimeCode) -> dict[str, Any]:
    """What does not change: sizes, colors, harmonics of the largest degree that a field has, foreground."""
    count = sum(len(rows) for _, rows in places)
    log_scales, colors = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
    foreground, harmonics = np.empty(count, np.float32), np.zeros((count, 0, 3), np.float32)
    for share, rows in places:
        world_from_prim = share.world_from_prim(code)
        log_scales[rows] = share.log_scales(world_from_prim)
        foreground[rows] = share.foreground()
        colors[rows], rest = share.radiance(world_from_prim)
        if rest is not None:
            harmonics = np.pad(harmonics, ((0, 0), (0, max(0, rest.shape[1] - harmonics.shape[1])), (0, 0)))
            harmonics[rows, : rest.shape[1]] = rest
    return {
        "log_scales": log_scales,
        "colors": colors,
        "foreground": foreground,
        "harmonics": harmonics if harmonics.shape[1] else None,
    }


def _judgments(places: list[Place], codes: list[Usd.TimeCode]) -> dict[str, np.ndarray]:
    """Confidence and visibility where a field says them; 1 for those that do not, which stand still."""
    judged = {}
    for name in ("confidence", "visibility"):
        stored = [(rows, share.judgments(name, codes)) for share, rows in places]
        if any(shares is not None for _, shares in stored):
            judged[name] = np.ones((len(codes), sum(len(rows) for rows, _ in stored)), np.float32)
            for rows, shares in stored:
                judged[name][:, rows] = 1.0 if shares is None else shares
    return judged


def _recorded(stage: Usd.Stage) -> dict[str, Any]:
    """What our own files say of their source: its frame, and the distance that confidence speaks of."""
    ours = stage.GetRootLayer().customLayerData.get("warpgs", {})
    source_from_stage = np.array(ours.get("source_from_world", Gf.Matrix4d(1.0))).T  # USD multiplies row vectors
    stage_from_world = np.linalg.inv(world_from_stage(stage))
    return {"source_from_world": source_from_stage @ stage_from_world, "tolerance": ours.get("tolerance")}
