"""Comparison with what a file was made of: the only way to see values that are plausible, but wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pxr import Usd

from usd_export.checking.finding import Finding, Subject, fault
from usd_export.form import SH_C0
from usd_export.reading.field import HARMONICS, OPACITIES, ORIENTATIONS, POSITIONS, SCALES, Field
from usd_export.reading.share import Share
from usd_export.reading.usd import world_from_stage
from warpgs.types import Tracks

ROUNDING = 1e-5
"""Of float32, and of sums of a few of its numbers, relative."""
HALF_ROUNDING = 2e-3
"""Of half precision."""
RIGID_SIGMAS = 1.0
"""How far the median particle of a rigid part may be from where it was tracked, in its largest standard deviations."""
RIGID_RAD = 0.2
"""How far the median particle of a rigid part may be turned from how it was tracked [rad]."""

FAINT = -10.0
"""Logit of opacities below which nothing can be seen of a particle, shown or not."""

Pose = tuple[np.ndarray, np.ndarray]
"""Centers [m], world frame [n, 3], and quaternions w, x, y, z [n, 4]."""


def check_same_particles(subject: Subject) -> Iterator[Finding]:
    """The file has the particles of its source, at instants of its source"""
    if subject.source is None or not subject.fields:
        return  # check_schema says it
    count = len(subject.source.log_scales)
    rows = [rows for _, rows in _pairs(subject)]
    seen = np.concatenate(rows) if rows else np.zeros(0, int)
    times = [time for field in subject.fields for time in field.pose_times()]
    last = max((_index(subject.source, time) for time in times), default=_still_index(subject))
    known, due = np.bincount(seen, minlength=count), _born(subject.source, last, np.arange(count))
    if (known > 1).any() or (known[due] == 0).any():
        got = f"{int((known > 0).sum())} of them, {int((known > 1).sum())} more than once"
        yield fault("", f"the {int(due.sum())} particles of the source, by primvars:ids or in their order", got)
    for field in subject.fields:
        strange = sorted(set(field.pose_times()) - set(subject.source.timesteps))
        if strange:
            span = f"{subject.source.timesteps[0]} to {subject.source.timesteps[-1]}"
            yield fault(field.path, f"samples at timesteps of the source, {span}", f"one at {strange[0]:g}")


def check_same_births(subject: Subject) -> Iterator[Finding]:
    """Particles are shown from their birth on, and not before"""
    first, last = subject.stage.GetStartTimeCode(), subject.stage.GetEndTimeCode()
    for field, rows in _pairs(subject):
        logits = subject.source.opacity_logits[rows]
        births = np.zeros(len(rows), int) if subject.source.birth is None else subject.source.birth[rows]
        late = np.unique(births[births > 0])
        for index in np.unique([0, *(late - 1), *late]):
            time = subject.source.timesteps[index]
            opacities = field.at(OPACITIES, Usd.TimeCode(time))
            if not first <= time <= last or opacities is None or len(opacities) != len(rows):
                continue
            shown = (opacities > 0.0) & field.is_visible(Usd.TimeCode(time))
            wrong = (shown != (births <= index)) & (logits > FAINT)
            if wrong.any():
                which = np.flatnonzero(wrong)[0]
                state = "shown, but not born" if shown[which] else "born, but not shown"
                got = f"{int(wrong.sum())} others, such as {rows[which]}, which is {state}"
                yield fault(f"{field.path} at {time:g}", "the particles that the source has then", got)
                break


def check_same_positions(subject: Subject) -> Iterator[Finding]:
    """Positions in the world are those of the source; of rigid parts, nearly"""
    for share, rows, code, index, (means, _) in _instants(subject):
        expected = subject.source.means[index, rows].astype(np.float64)
        born = _born(subject.source, index, rows)
        error = np.linalg.norm(means - expected, axis=1)[born]
        if not len(error):
            continue
        sizes = np.exp(subject.source.log_scales[rows].max(axis=1))[born]
        exact = _rounding(share.field, POSITIONS) * max(1.0, float(np.abs(expected).max()))
        if _is_rigid(subject, share.field):
            wrong, got = float(np.median(error / sizes)) > RIGID_SIGMAS, f"{np.median(error):.3g} m away (median)"
        else:
            wrong, got = float(error.max()) > exact, f"{error.max():.3g} m away (largest)"
        if wrong:
            remedy = "are axes, units, transforms and the order of particles right?"
            yield fault(_at(share.field, POSITIONS, code), "the positions of the source", got, remedy)
            return


def check_same_orientations(subject: Subject) -> Iterator[Finding]:
    """Orientations in the world are those of the source; of rigid parts, nearly"""
    for share, rows, code, index, (_, rotations_wxyz) in _instants(subject):
        expected = subject.source.rotations_wxyz[index, rows].astype(np.float64)
        born = _born(subject.source, index, rows)
        if not born.any():
            continue
        angle = _angles(rotations_wxyz, expected)[born]
        rigid = _is_rigid(subject, share.field)
        limit = RIGID_RAD if rigid else 10.0 * _rounding(share.field, ORIENTATIONS) + 1e-3
        error = float(np.median(angle) if rigid else angle.max())
        if error > limit:
            stored = share.field.at(ORIENTATIONS, code)
            as_wxyz = np.zeros((len(rows), 4)) if stored is None else share.world_from_prim(code).rotations_wxyz(stored)
            swapped = float(np.median(_angles(as_wxyz, expected)[born])) < 0.1 * float(np.median(angle))
            remedy = "they are w, x, y, z in memory, where USD has x, y, z, w" if swapped else "is a transform missing?"
            got = f"{np.rad2deg(error):.3g} degrees apart ({'median' if rigid else 'largest'})"
            yield fault(_at(share.field, ORIENTATIONS, code), "the orientations of the source", got, remedy)
            return


def check_same_scales(subject: Subject) -> Iterator[Finding]:
    """Scales in the world are those of the source"""
    for field, rows in _pairs(subject):
        share, stored = _share(subject, field, rows), field.first(SCALES)
        if stored is None or len(stored) != len(rows):
            continue
        logs = subject.source.log_scales[rows].astype(np.float64)
        unit = share.world_from_prim(_first(field)).scale
        error = float(np.abs(unit * stored / np.exp(logs) - 1.0).max())
        if error > 10.0 * _rounding(field, SCALES):
            as_logs = np.allclose(stored, logs, atol=1e-3)
            remedy = "they are logarithms: store exp of them" if as_logs else "are they of another unit?"
            yield fault(
                _at(field, SCALES), "the sizes of the source", f"others by a factor of up to {error + 1:.3g}", remedy
            )


def check_same_opacities(subject: Subject) -> Iterator[Finding]:
    """Opacities are those of the source"""
    for field, rows in _pairs(subject):
        attribute = field.attribute(OPACITIES)
        times = attribute.GetTimeSamples()
        codes = [Usd.TimeCode(time) for time in times] or [Usd.TimeCode.Default()]
        arrays = [array for array in (field.at(OPACITIES, code) for code in codes) if array is not None]
        if not arrays or any(len(array) != len(rows) for array in arrays):
            continue
        stored = np.max(arrays, axis=0).astype(np.float64)  # 0 before a birth
        logits = subject.source.opacity_logits[rows].astype(np.float64)
        error = float(np.abs(stored - 0.5 * (1.0 + np.tanh(0.5 * logits))).max())
        if error > 10.0 * _rounding(field, OPACITIES):
            as_logits = np.allclose(stored, logits, atol=1e-3)
            remedy = "they are logits: store 1 / (1 + exp(-x))" if as_logits else ""
            yield fault(_at(field, OPACITIES), "the opacities of the source", f"others by up to {error:.3g}", remedy)


def check_same_colors(subject: Subject) -> Iterator[Finding]:
    """Colors, and harmonics in the world, are those of the source"""
    for field, rows in _pairs(subject):
        share, source = _share(subject, field, rows), subject.source
        if field.first(HARMONICS) is None:
            continue
        try:
            colors, harmonics = share.radiance(share.world_from_prim(_first(field)))
        except (ValueError, NotImplementedError):  # check_harmonics says it
            continue
        tolerance = 10.0 * _rounding(field, HARMONICS) * max(1.0, float(np.abs(source.colors).max()))
        error = float(np.abs(colors - source.colors[rows]).max())
        if error > tolerance:
            as_rgb = np.allclose((colors - 0.5) / SH_C0, source.colors[rows], atol=1e-2)
            remedy = "RGB is stored where coefficients belong: (rgb - 0.5) / 0.28209" if as_rgb else ""
            yield fault(_at(field, HARMONICS), "the colors of the source", f"others by up to {error:.3g}", remedy)
        else:
            error = _harmonics_error(harmonics, None if source.harmonics is None else source.harmonics[rows])
            if error > 10.0 * tolerance:
                got = f"others by up to {error:.3g}"
                yield fault(_at(field, HARMONICS), "the harmonics of the source", got, "are they in the prim's frame?")


def _harmonics_error(one: np.ndarray | None, other: np.ndarray | None) -> float:
    """Largest difference; coefficients that one lacks are 0."""
    padded = []
    for each in (one, other):
        missing = 0 if each is None else each.shape[1]
        count = len(one if one is not None else other) if one is not None or other is not None else 0
        full = np.zeros((count, 15, 3))
        if each is not None:
            full[:, :missing] = each
        padded.append(full)
    return float(np.abs(padded[0] - padded[1]).max(initial=0.0))


def _pairs(subject: Subject) -> Iterator[tuple[Field, np.ndarray]]:
    """Each field with particles, and which of the source's each is, as far as there are such."""
    if subject.source is None:
        return
    count, start = len(subject.source.log_scales), 0
    for field in subject.fields:
        positions, primvar = field.first(POSITIONS), field.primvar("ids")
        size = 0 if positions is None else len(positions)
        ids = np.array(primvar.Get()) if primvar.HasAuthoredValue() else np.zeros(0)
        rows = ids.astype(np.int64) if ids.dtype.kind in "iu" and ids.ndim else np.arange(start, start + size)
        start += size
        if size and len(rows) == size and rows.min() >= 0 and rows.max() < count:
            yield field, rows


def _instants(subject: Subject) -> Iterator[tuple[Share, np.ndarray, Usd.TimeCode, int, Pose]]:
    """Where poses can be compared: a field, its particles, a time code, the source's index of it, and the poses in our
    world. Fields whose arrays are broken, as other checks say, are passed over."""
    for field, rows in _pairs(subject):
        share, source = _share(subject, field, rows), subject.source
        times = [time for time in field.pose_times() if time in source.timesteps]
        codes = [(Usd.TimeCode(time), _index(source, time)) for time in times]
        codes = codes or [(Usd.TimeCode.Default(), _still_index(subject))]
        for code, index in codes:
            try:
                pose = share.pose(code)
            except (ValueError, NotImplementedError):
                break
            yield share, rows, code, index, pose


def _index(source: Tracks, time: float) -> int:
    """Of the last instant that is not after a time code; the first where all are."""
    return max(int(np.searchsorted(source.timesteps, time, side="right")) - 1, 0)


def _still_index(subject: Subject) -> int:
    """The source's instant that a file without samples shows: at which its stage starts."""
    return _index(subject.source, subject.stage.GetStartTimeCode())


def _share(subject: Subject, field: Field, rows: np.ndarray) -> Share:
    return Share(subject.path, field, world_from_stage(subject.stage), len(rows))


def _born(source: Tracks, index: int, rows: np.ndarray) -> np.ndarray:
    """Which particles exist at an instant, shape [n], bool."""
    return np.ones(len(rows), bool) if source.birth is None else source.birth[rows] <= index


def _first(field: Field) -> Usd.TimeCode:
    times = field.pose_times()
    return Usd.TimeCode(times[0]) if times else Usd.TimeCode.Default()


def _is_rigid(subject: Subject, field: Field) -> bool:
    """Whether a file keeps poses of bodies, so that those of particles are only close to the source's."""
    bodies = bool(subject.bodies) or any(each.transforms_vary() for each in subject.fields)
    return bodies and not field.attribute(POSITIONS).GetNumTimeSamples()


def _rounding(field: Field, name: str) -> float:
    return HALF_ROUNDING if field.attribute(name).GetName() == f"{name}h" else ROUNDING


def _angles(one_wxyz: np.ndarray, other_wxyz: np.ndarray) -> np.ndarray:
    """Angles between unit quaternions [rad], shape [n], precise near 0."""
    one = one_wxyz / np.maximum(np.linalg.norm(one_wxyz, axis=1, keepdims=True), 1e-30)
    chord = np.minimum(np.linalg.norm(one - other_wxyz, axis=1), np.linalg.norm(one + other_wxyz, axis=1))
    return 4.0 * np.arcsin(np.clip(0.5 * chord, 0.0, 1.0))


def _at(field: Field, name: str, code: Usd.TimeCode | None = None) -> str:
    path = str(field.attribute(name).GetPath())
    return path if code is None or code.IsDefault() else f"{path} at {code.GetValue():g}"
