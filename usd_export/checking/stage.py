"""Checks of the stage as a whole: root, axes, units, time, samples, what OpenUSD's validators say."""

from __future__ import annotations

from collections.abc import Iterator

from pxr import Usd, UsdGeom, UsdValidation

from usd_export.checking.finding import Finding, Subject, fault, has_default, warning

OURS = {
    "MissingDefaultPrim",
    "MissingUpAxisMetadata",
    "MissingMetersPerUnitMetadata",
    "MassInvalidValues",
}
"""Errors of the validators that checks of ours speak of."""
PACKAGE_VALIDATORS = ("UsdzPackageValidator", "RootPackageValidator", "PackageEncapsulationValidator")


def check_root(subject: Subject) -> Iterator[Finding]:
    """The default prim says what a reference to the file brings"""
    if not subject.stage.GetDefaultPrim():
        name = subject.stage.GetRootLayer().defaultPrim
        got = f"{name!r}, which is not there" if name else "none"
        yield fault("", "a defaultPrim", got, "set it to the root of the scene")


def check_axes(subject: Subject) -> Iterator[Finding]:
    """upAxis is authored"""
    if not subject.stage.HasAuthoredMetadata(UsdGeom.Tokens.upAxis):
        yield fault("", "upAxis", "none, which readers take for Y", "author it; Z is what robots want")


def check_units(subject: Subject) -> Iterator[Finding]:
    """metersPerUnit is authored"""
    stage = subject.stage
    if not stage.HasAuthoredMetadata(UsdGeom.Tokens.metersPerUnit):
        yield fault("", "metersPerUnit", "none, which readers take for centimetres", "author it; 1 for metres")
    elif not UsdGeom.GetStageMetersPerUnit(stage) > 0.0:
        yield fault("", "metersPerUnit above 0", UsdGeom.GetStageMetersPerUnit(stage), "author 1 for metres")
    if subject.bodies and not stage.HasAuthoredMetadata("kilogramsPerUnit"):
        yield warning("", "kilogramsPerUnit beside rigid bodies", "none", "author 1")


def check_timing(subject: Subject) -> Iterator[Finding]:
    """Rate and range of the time codes are authored, and all samples lie within"""
    stage, times = subject.stage, _all_times(subject)
    if not times:
        return
    if not stage.HasAuthoredMetadata("timeCodesPerSecond"):
        got = "none, which readers take for 24"
        yield fault("", "timeCodesPerSecond beside time samples", got, "author the rate of the recording")
    elif stage.GetFramesPerSecond() != stage.GetTimeCodesPerSecond():
        got = f"{stage.GetFramesPerSecond():g} and {stage.GetTimeCodesPerSecond():g}"
        yield warning("", "framesPerSecond equal to timeCodesPerSecond", got, "author both")
    if not stage.HasAuthoredTimeCodeRange():
        yield fault("", "startTimeCode and endTimeCode beside time samples", "none", "author the range of the samples")
    elif times[0] < stage.GetStartTimeCode() or times[-1] > stage.GetEndTimeCode():
        rule = f"samples from {stage.GetStartTimeCode():g} to {stage.GetEndTimeCode():g}, the range of the stage"
        yield fault("", rule, f"{times[0]:g} to {times[-1]:g}", "widen the range")


def check_defaults(subject: Subject) -> Iterator[Finding]:
    """What is animated has a default too: some readers, Newton among them, know no time"""
    for attribute in _animated(subject):
        if not has_default(attribute):
            yield fault(
                str(attribute.GetPath()), "a default beside the time samples", "none", "repeat the first sample"
            )


def check_samples(subject: Subject) -> Iterator[Finding]:
    """What moves together is sampled together: positions with orientations, the transforms of one prim"""
    groups: dict[str, list[Usd.Attribute]] = {}
    for attribute in _animated(subject):
        name = attribute.GetName()
        if name.startswith("xformOp:") or name.rstrip("h") in ("positions", "orientation", "orientations"):
            groups.setdefault(str(attribute.GetPrimPath()), []).append(attribute)
    for group in groups.values():
        times = sorted({time for attribute in group for time in attribute.GetTimeSamples()})
        for attribute in group:
            missing = sorted(set(times) - set(attribute.GetTimeSamples()))
            if missing:
                others = ", ".join(other.GetName() for other in group if other != attribute)
                got = f"none at {missing[0]:g} ({len(missing)} of {len(times)} missing)"
                yield fault(
                    str(attribute.GetPath()), f"a sample at each time that {others} has", got, "author them all"
                )


def check_validators(subject: Subject) -> Iterator[Finding]:
    """OpenUSD's own validators find nothing"""
    for error in subject.validation:
        if error.GetName() not in OURS and not _about_package(error):
            yield _finding(error)


def check_package(subject: Subject) -> Iterator[Finding]:
    """A .usdz is stored uncompressed, aligned to 64 bytes and complete"""
    for error in subject.validation:
        if _about_package(error):
            yield _finding(error)


def _about_package(error: UsdValidation.ValidationError) -> bool:
    return any(validator in str(error.GetIdentifier()) for validator in PACKAGE_VALIDATORS)


def _finding(error: UsdValidation.ValidationError) -> Finding:
    sites = [str(site.GetProperty().GetPath()) for site in error.GetSites() if site.IsProperty()]
    sites += [str(site.GetPrim().GetPath()) for site in error.GetSites() if site.IsPrim()]
    level = "fault" if error.GetType() == UsdValidation.ValidationErrorType.Error else "warning"
    return Finding(level, sites[0] if sites else "", error.GetMessage(), f"see {error.GetIdentifier()}")


def _animated(subject: Subject) -> list[Usd.Attribute]:
    """Attributes with time samples."""
    attributes = (attribute for prim in subject.prims for attribute in prim.GetAuthoredAttributes())
    return [attribute for attribute in attributes if attribute.GetNumTimeSamples()]


def _all_times(subject: Subject) -> list[float]:
    return sorted({time for attribute in _animated(subject) for time in attribute.GetTimeSamples()})
