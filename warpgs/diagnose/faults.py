"""Findings about a recording: what was measured, whether that is good, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from warpgs.diagnose.features import PairMatches
from warpgs.diagnose.outlines import Misfit
from warpgs.priors.ground import find_ground
from warpgs.types import Camera, Frame

Verdict = Literal["good", "fair", "bad", "unknown"]

EPIPOLAR = 1e-3, 3e-3
"""Distance of matches from their lines, share of the picture's longer side: good up to the first, bad beyond the
second."""
STOPS = 0.5, 1.5
"""Brightness between the brightest and the darkest camera, in powers of two."""
FRAMES = 0.1, 0.5
"""How far from its instant a picture was taken, in frames."""
OUTLINES = 2e-3, 6e-3
"""The same of outlines, which are only as good as masks."""
EXPLAINED = 0.5
"""Turned cameras are the reason if they leave no more than this share of how far outlines were apart."""
SURE = 0.2
"""Standard deviation of a delay [frames] that can be told."""
LEAST_VIEWS = 3
"""Cameras that should see the median point."""
LEAST_SHARE = 0.1
"""Of all points, that each camera should see."""
MOST_MASKED = 0.6
"""Share of a picture that is foreground: more is rather the background, inverted."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    """What was looked at."""
    value: str
    """What was found."""
    verdict: Verdict
    """unknown: the recording does not tell."""
    remedy: str = ""
    """What to do, where it is not good."""

    def line(self) -> str:
        """Verdict, value and remedy in one line."""
        return f"{self.verdict}: {self.value}" + (f"; {self.remedy}" if self.remedy else "")


def examine(
    frame: Frame,
    pairs: Sequence[PairMatches],
    points_world: np.ndarray | None,
    *,
    frame_errors: np.ndarray | None = None,
    misfit: Misfit | None = None,
) -> list[Finding]:
    """Look at one instant of a recording.

    Args:
        frame: Its pictures.
        pairs: From ``match_features``.
        points_world: Points of the scene, of its own cloud or triangulated, shape [n, 3]; None where there are none.
        frame_errors: How far from its instant each picture of the recording was taken [frames], shape [t, c].
        misfit: What outlines over several instants say, of the same cameras.
    """
    found = [_epipolar(frame.cameras, pairs), _exposure(frame), _masks(frame)]
    if points_world is not None:
        found += [_overlap(frame.cameras, points_world), _ground(points_world)]
    if frame_errors is not None:
        found.append(_clock(frame_errors))
    if misfit is not None:
        found += [_outlines(frame.cameras, misfit), _delays(frame.cameras, misfit)]
    return found


def camera_errors(count: int, pairs: Sequence[PairMatches]) -> np.ndarray:
    """Median distance of the matches of each camera from their lines [px], NaN without matches, shape [count]."""
    errors = [[pair.error_px for pair in pairs if camera in (pair.first, pair.second)] for camera in range(count)]
    return np.array([np.median(np.concatenate(each)) if each else np.nan for each in errors])


def views_of(cameras: Sequence[Camera], points_world: np.ndarray) -> np.ndarray:
    """Whether each camera has each point in its picture, shape [c, n], bool; what hides it does not count."""
    seen = []
    for camera in cameras:
        local = (points_world - camera.center_world) @ camera.world_from_camera[:3, :3]
        depth = local[:, 2]
        pixels = local @ camera.intrinsics.T / np.where(depth > 0.0, depth, 1.0)[:, None]
        inside = (pixels[:, :2] >= 0.0).all(axis=1) & (pixels[:, :2] < (camera.width, camera.height)).all(axis=1)
        seen.append(inside & (depth > 0.0))
    return np.stack(seen)


def brightness(frame: Frame) -> np.ndarray:
    """Mean of each picture, 0..1, shape [c]."""
    return np.array([image.mean() / 255.0 for image in frame.images])


def _graded(value: float, bounds: tuple[float, float]) -> Verdict:
    return "good" if value <= bounds[0] else "fair" if value <= bounds[1] else "bad"


def _epipolar(cameras: Sequence[Camera], pairs: Sequence[PairMatches]) -> Finding:
    if not pairs:
        remedy = (
            "cameras too far apart or pictures too plain for features: look whether masks or cloud fit all pictures"
        )
        return Finding("calibration", "too few features are seen by two cameras", "unknown", remedy)
    errors = camera_errors(len(cameras), pairs)
    shares = errors / [max(camera.width, camera.height) for camera in cameras]
    worst = int(np.nanargmax(shares))
    overall = float(np.median(np.concatenate([pair.error_px for pair in pairs])))
    verdict = _graded(float(shares[worst]), EPIPOLAR)
    value = (
        f"features are {overall:.2f} px from their epipolar lines (median of {len(pairs)} pairs of cameras), worst "
        f"camera {cameras[worst].name}: {errors[worst]:.2f} px"
    )
    if verdict == "good":
        return Finding("calibration", value, verdict)
    alone = float(np.nanmedian(shares)) <= EPIPOLAR[0]
    remedy = "calibrate again, with the lens distortion, and check the axes of the poses"
    if alone:
        remedy = f"camera {cameras[worst].name} alone is off: was it moved, its picture cropped or resized?"
    return Finding("calibration", value, verdict, remedy)


def _exposure(frame: Frame) -> Finding:
    stops = np.log2(np.maximum(brightness(frame), 1e-3))
    spread = float(np.ptp(stops))
    names = [frame.cameras[int(i)].name for i in (stops.argmax(), stops.argmin())]
    value = f"{spread:.2f} stops between camera {names[0]} and camera {names[1]}"
    verdict = _graded(spread, STOPS)
    remedy = "a gain and an offset per camera and color are fitted at the first timestep"
    if verdict == "bad":
        remedy = f"{remedy}, but what is clipped stays lost: fix exposure and white balance when recording"
    return Finding("exposure", value, verdict, "" if verdict == "good" else remedy)


def _masks(frame: Frame) -> Finding:
    if frame.masks is None:
        remedy = "warpgs masks makes some where cameras stand still; --masks takes your own"
        return Finding("masks", "none", "unknown", remedy)
    shares = np.array([mask.mean() / 255.0 for mask in frame.masks])
    value = f"{100 * shares.min():.1f} to {100 * shares.max():.1f} % of a picture are foreground"
    if shares.max() > MOST_MASKED:
        name = frame.cameras[int(shares.argmax())].name
        return Finding("masks", value, "bad", f"mask of camera {name}: is it inverted? Foreground is bright")
    if shares.min() == 0.0:
        name = frame.cameras[int(shares.argmin())].name
        return Finding("masks", value, "fair", f"camera {name} shows no foreground: right only if it sees none")
    return Finding("masks", value, "good")


def _overlap(cameras: Sequence[Camera], points_world: np.ndarray) -> Finding:
    seen = views_of(cameras, points_world)
    median = int(np.median(seen.sum(axis=0)))
    shares = seen.mean(axis=1)
    least = int(shares.argmin())
    value = f"the median point lies in the pictures of {median} of {len(cameras)} cameras"
    if shares[least] < LEAST_SHARE:
        name = cameras[least].name
        remedy = f"camera {name} has {100 * shares[least]:.0f} % of the points in its picture: is its pose right?"
        return Finding("overlap", value, "bad" if shares[least] == 0.0 else "fair", remedy)
    if median < min(LEAST_VIEWS, len(cameras)):
        return Finding("overlap", value, "fair", f"turn cameras so that {LEAST_VIEWS} see every place")
    return Finding("overlap", value, "good")


def _ground(points_world: np.ndarray) -> Finding:
    plane = find_ground(points_world)
    if plane is None:
        remedy = "fine if the pictures show no floor; else z may not be up: see how the reader lets you name the axis"
        return Finding("ground", "no level plane with everything above it", "unknown", remedy)
    tilt = float(np.degrees(np.arccos(np.clip(plane.normal[2], -1.0, 1.0))))
    return Finding("ground", f"a floor at z = {-plane.offset / plane.normal[2]:.3g}, tilted {tilt:.1f} degrees", "good")


def _clock(frame_errors: np.ndarray) -> Finding:
    worst = np.abs(frame_errors).max()
    verdict = _graded(float(worst), FRAMES)
    value = f"pictures are at most {worst:.2f} frames from their instants"
    remedy = "" if verdict == "good" else "start cameras by one trigger, or record at the same higher rate"
    return Finding("clock", value, verdict, remedy)


def _outlines(cameras: Sequence[Camera], misfit: Misfit) -> Finding:
    shares = misfit.before_px / [max(camera.width, camera.height) for camera in cameras]
    worst = int(np.nanargmax(shares))
    verdict = _graded(float(shares[worst]), OUTLINES)
    name, before, after = cameras[worst].name, misfit.before_px[worst], misfit.after_px[worst]
    value = f"planes that touch what moves are {before:.1f} px apart where camera {name} and others see them (median)"
    if verdict == "good":
        return Finding("outlines", value, verdict)
    if not after < EXPLAINED * before:
        return Finding("outlines", value, verdict, "look whether masks are right; else calibrate again")
    value += f", {after:.1f} px if cameras were turned since they were calibrated"
    turns = zip(cameras, np.degrees(misfit.turns), strict=True)
    lines = ", ".join(f"{camera.name} = [{', '.join(f'{t:.3f}' for t in turn)}]" for camera, turn in turns)
    return Finding("outlines", value, verdict, f"calibrate again, or add to recording.toml: [turn_deg] {lines}")


def _delays(cameras: Sequence[Camera], misfit: Misfit) -> Finding:
    worst = int(np.abs(misfit.delays).argmax())
    delay, error = float(misfit.delays[worst]), float(misfit.delay_errors[worst])
    name, when = cameras[worst].name, "after" if delay > 0.0 else "before"
    value = f"camera {name} took its pictures {abs(delay):.2f} +- {error:.2f} frames {when} the others"
    if misfit.delay_errors.max() > SURE:
        return Finding("delays", value, "unknown", "outlines that move faster, or better masks, would tell")
    verdict = _graded(max(abs(delay) - 2.0 * error, 0.0), FRAMES)
    remedy = "other frames mend half a frame and more (videos: offset_s in recording.toml); less blurs what moves fast"
    return Finding("delays", value, verdict, "" if verdict == "good" else remedy)
