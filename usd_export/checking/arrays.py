"""Checks of the arrays of each field of Gaussians, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pxr import Usd, UsdGeom, UsdVol
from scipy.spatial.transform import Rotation

from usd_export.checking.finding import Finding, Subject, authored, fault, place, some, warning
from usd_export.form import SH_C0
from usd_export.reading.field import ARRAYS, DEGREE, HARMONICS, OPACITIES, ORIENTATIONS, POSITIONS, SCALES, Field
from usd_export.reading.form import COEFFICIENTS

EXTENT_SIGMAS = 3.0
"""Standard deviations that an extent must hold."""
EXTENT_TOLERANCE = {False: 1e-5, True: 2e-3}
"""How much less it may hold, relative to its largest coordinate: rounding of float32, and of half precision."""
UNIT_TOLERANCE = 2e-3
"""Deviation of a quaternion's length that half precision may cause."""
PER_PARTICLE = ("ids", "foreground", "warpgs:confidence", "warpgs:visibility", "displayColor", "displayOpacity")
"""Primvars that hold a value for each particle where they are of interpolation vertex."""


def check_schema(subject: Subject) -> Iterator[Finding]:
    """There are Gaussians, with all that the schema needs, in full or in half precision"""
    for field, names in subject.mistyped.items():
        for name in names:
            kind = field.prim.GetPrimDefinition().GetPropertyMetadata(name, "typeName")
            yield fault(f"{field.path}.{name}", kind, "another type", "author it with the type of the schema")
    if not subject.fields and not subject.mistyped:
        points = any(prim.IsA(UsdGeom.Points) for prim in subject.prims)
        say = warning if points else fault  # a layer for programs that know no Gaussians
        got = "UsdGeom.Points alone" if points else "none"
        yield say("", "a UsdVol.ParticleField3DGaussianSplat", got, "export the particles as that")
    for field in subject.fields:
        for name in ARRAYS:
            full, half = field.prim.GetAttribute(name), field.prim.GetAttribute(f"{name}h")
            if not full.HasAuthoredValue() and not half.HasAuthoredValue():
                yield fault(f"{field.path}.{name}", "values", "none", "author it")
            elif full.HasAuthoredValue() and half.HasAuthoredValue():
                yield warning(f"{field.path}.{name}", "one precision", "full and half", "drop one; readers take either")
        for name, allowed in (
            ("projectionModeHint", (UsdVol.Tokens.perspective, UsdVol.Tokens.tangential)),
            ("sortingModeHint", (UsdVol.Tokens.zDepth, UsdVol.Tokens.cameraDistance)),
        ):
            token = field.prim.GetAttribute(name).Get()
            if token not in allowed:
                yield fault(f"{field.path}.{name}", " or ".join(allowed), token, f"author {allowed[-1]}")


def check_counts(subject: Subject) -> Iterator[Finding]:
    """Every array has one entry per particle, at every sample"""
    for field in subject.fields:
        positions = field.first(POSITIONS)
        count = 0 if positions is None else len(positions)
        names = [field.attribute(name) for name in (POSITIONS, ORIENTATIONS, SCALES, OPACITIES)]
        primvars = [field.primvar(name) for name in PER_PARTICLE]
        names += [each.GetAttr() for each in primvars if each and each.GetInterpolation() == UsdGeom.Tokens.vertex]
        for attribute in names:
            for where, _, values in authored(attribute):
                if len(values) != count:
                    remedy = "samples of other lengths are held, not interpolated; hide particles by opacity 0"
                    yield fault(where, f"{count} values, as many as particles", len(values), remedy)
                    break


def check_finite(subject: Subject) -> Iterator[Finding]:
    """No number is NaN or infinite"""
    for field in subject.fields:
        attributes = [field.attribute(name) for name in ARRAYS] + [field.prim.GetAttribute("extent")]
        for attribute in attributes:
            for where, _, values in authored(attribute):
                bad = ~np.isfinite(values).reshape(len(values), -1 if len(values) else 0).all(axis=1)
                if bad.any():
                    yield fault(where, "finite numbers", some(values, bad), "remove these particles")
                    break
        times = [Usd.TimeCode.Default(), *map(Usd.TimeCode, field.pose_times())]
        broken = [code for code in times if not np.isfinite(field.stage_from_prim(code)).all()]
        if broken:
            yield fault(f"{field.path} at {broken[0]}", "a finite transform to the stage", "NaN or infinity")


def check_quaternions(subject: Subject) -> Iterator[Finding]:
    """Orientations are unit quaternions"""
    for field in subject.fields:
        for where, _, values in authored(field.attribute(ORIENTATIONS)):
            lengths = np.linalg.norm(values.astype(np.float64), axis=1)
            bad = np.abs(lengths - 1.0) > UNIT_TOLERANCE  # not for NaN, which another check finds
            if bad.any():
                yield fault(where, "quaternions of length 1", f"length {some(lengths, bad)}", "normalize them")
                break


def check_scales(subject: Subject) -> Iterator[Finding]:
    """Scales are standard deviations above 0, of plausible size"""
    for field in subject.fields:
        for where, _, values in authored(field.attribute(SCALES)):
            bad = (values <= 0.0).any(axis=1)
            if bad.any():
                logs = (values < 0.0).mean() > 0.5
                remedy = "they look like logarithms: store exp of them" if logs else "remove these particles"
                yield fault(where, "numbers above 0", some(values, bad), remedy)
                break
            size = _size(field)
            large = values.max(axis=1) > size
            if size > 0.0 and large.mean() > 0.01:
                rule = f"particles smaller than all of them together ({size:.3g})"
                yield warning(where, rule, some(values, large), "are they logarithms, or of another unit?")
                break


def check_opacities(subject: Subject) -> Iterator[Finding]:
    """Opacities are within 0..1"""
    for field in subject.fields:
        for where, _, values in authored(field.attribute(OPACITIES)):
            bad = (values < 0.0) | (values > 1.0)
            if bad.any():
                remedy = "they look like logits: store 1 / (1 + exp(-x))" if bad.mean() > 0.05 else "clamp them"
                yield fault(where, "numbers from 0 to 1", some(values, bad), remedy)
                break


def check_harmonics(subject: Subject) -> Iterator[Finding]:
    """Coefficients of spherical harmonics fit their degree, element size and interpolation"""
    for field in subject.fields:
        attribute, degree = field.attribute(HARMONICS), field.prim.GetAttribute(DEGREE)
        positions, where = field.first(POSITIONS), str(attribute.GetPath())
        if positions is None or not attribute.HasAuthoredValue():
            continue
        if not 0 <= degree.Get() < len(COEFFICIENTS):
            yield fault(str(degree.GetPath()), "0 to 3", degree.Get())
            continue
        each = COEFFICIENTS[degree.Get()]
        told = "" if degree.HasAuthoredValue() else ", which it falls back to as none is authored"
        for at, _, values in authored(attribute):
            if len(values) != each * len(positions):
                rule = f"{each} x {len(positions)} triples for degree {degree.Get()}{told}"
                yield fault(at, rule, len(values), "author the degree of the data; what is too short is not drawn")
                break
        size, interpolation = attribute.GetMetadata("elementSize"), attribute.GetMetadata("interpolation")
        if size is not None and size != each:
            yield fault(where, f"elementSize {each}", size, "author it as metadata of the attribute")
        elif size is None and each > 1:
            yield warning(where, f"elementSize {each}", "none", "author it as metadata of the attribute")
        if interpolation not in (None, UsdGeom.Tokens.vertex):
            yield fault(where, "interpolation vertex", interpolation, "author it as metadata of the attribute")
        yield from _looks_like_rgb(field, each)


def check_extents(subject: Subject) -> Iterator[Finding]:
    """Extents are authored, and hold 3 standard deviations of every particle at every sample"""
    for field in subject.fields:
        attribute = field.prim.GetAttribute("extent")
        if not attribute.HasAuthoredValue():
            yield fault(field.path, "an extent", "none", "author it: no plugin computes one, and viewers cull without")
            continue
        for code in _pose_codes(field):
            box = _box(field, code)
            stored = attribute.Get(code)
            if stored is None and code.IsDefault() and attribute.GetNumTimeSamples():
                continue  # check_defaults says it
            if stored is None or len(stored) != 2:
                got = "none" if stored is None else f"{len(stored)} points"
                yield fault(place(attribute, code), "an extent of two points", got, "author it at every sample")
                break
            low, high = np.array(stored, np.float64)
            short = np.zeros(1) if box is None else np.concatenate([low - box[0], box[1] - high])
            if box is not None and short.max() > EXTENT_TOLERANCE[field.is_half()] * float(np.abs(box).max()):
                rule = f"the 3 sigma of all particles, {_text(box)}"
                got = f"{_text((low, high))}, short by {short.max():.3g}"
                yield fault(place(attribute, code), rule, got, "author it at every sample of the poses")
                break


def _looks_like_rgb(field: Field, each: int) -> Iterator[Finding]:
    """Colors of a scene fall on both sides of gray, so coefficients do on both sides of 0."""
    stored = field.first(HARMONICS)
    if stored is None or len(stored) < 10 * each or len(stored) % each:
        return
    base = stored.reshape(-1, each, 3)[:, 0]
    if base.min() >= 0.0 and base.max() <= 1.0 and np.ptp(base) > 0.3:
        got = f"all within 0..1 ({base.min():.2f} to {base.max():.2f})"
        remedy = f"store (rgb - 0.5) / {SH_C0:.5f}, unless the scene is this pale"
        yield warning(str(field.attribute(HARMONICS).GetPath()), "coefficients, which are RGB nowhere", got, remedy)


def _size(field: Field) -> float:
    """Diagonal of the box of all but the outermost particles."""
    positions = field.first(POSITIONS)
    if positions is None or len(positions) < 10 or not np.isfinite(positions).all():
        return 0.0
    low, high = np.percentile(positions, [1, 99], axis=0)
    return float(np.linalg.norm(high - low))


def _pose_codes(field: Field) -> list[Usd.TimeCode]:
    """The default and the times at which every animated one of positions, orientations and scales is sampled."""
    samples = [set(field.attribute(name).GetTimeSamples()) for name in (POSITIONS, ORIENTATIONS, SCALES)]
    samples = [times for times in samples if times]
    times = sorted(set.intersection(*samples)) if samples else field.prim.GetAttribute("extent").GetTimeSamples()
    return [Usd.TimeCode.Default(), *map(Usd.TimeCode, times)]


def _box(field: Field, code: Usd.TimeCode) -> np.ndarray | None:
    """Box of all particles, shape [2, 3]; None where their arrays are broken or missing, as other checks say.

    An ellipsoid R S reaches sqrt(sum_j (R_kj s_j)^2) along axis k.
    """
    arrays = [field.at(name, code) for name in (POSITIONS, ORIENTATIONS, SCALES)]
    if any(array is None for array in arrays) or len({len(array) for array in arrays}) > 1 or not len(arrays[0]):
        return None
    positions, quaternions, scales = (array.astype(np.float64) for array in arrays)
    lengths = np.linalg.norm(quaternions, axis=1)
    sound = np.isfinite(positions).all() and np.isfinite(scales).all() and (scales > 0.0).all()
    if not (sound and (np.abs(lengths - 1.0) <= UNIT_TOLERANCE).all()):
        return None
    axes = Rotation.from_quat(quaternions).as_matrix()
    reach = EXTENT_SIGMAS * np.sqrt(np.einsum("nkj,nj->nk", axes**2, scales**2))
    return np.stack([(positions - reach).min(axis=0), (positions + reach).max(axis=0)])


def _text(box: tuple[np.ndarray, np.ndarray] | np.ndarray) -> str:
    low, high = (np.array2string(np.asarray(end), precision=4, separator=", ") for end in box)
    return f"{low} to {high}"
