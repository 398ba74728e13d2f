"""How tracks look: color, opacity, light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from warpgs.checks import check_finite, refuse
from warpgs.math.harmonics import harmonics_basis
from warpgs.query.geometry import matrices_from_wxyz
from warpgs.types import Tracks

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Of linear red, green and blue (ITU-R BT.709); here a measure of shading."""
OPACITY_LIMIT = 40.0
"""Logits beyond are opacities 0 and 1 in float32."""
LIT_SIDE = (2.4, -1.6)
"""a, b of a c + b c^3, which is nearest to 1 over 0 < c < 1 by least squares weighted with c^2: the odd function that
tells the two sides of a particle apart, c being the cosine between its normal and the direction to the eye."""


def recolor(tracks: Tracks, color: Sequence[float], *, share: float = 1.0, shading: bool = False) -> Tracks:
    """Tracks in a color.

    Args:
        tracks: Of n particles.
        color: RGB 0..1.
        share: How much of the way to that color, 0..1; what depends on the direction of sight fades by as much.
        shading: Keep what is lighter and darker: the color is that of medium luminance.
    """
    paint = _checked_color("color", color)
    _check_share("share", share)
    wanted = np.broadcast_to(paint, tracks.colors.shape)
    if shading:
        luminance = np.maximum(tracks.colors @ LUMINANCE, 0.0)
        wanted = wanted * (luminance / max(float(np.median(luminance)), 1e-6))[:, None]
    colors = tracks.colors + share * (wanted - tracks.colors)
    return replace(
        tracks,
        colors=colors.astype(np.float32),
        harmonics=None if tracks.harmonics is None else (tracks.harmonics * (1.0 - share)).astype(np.float32),
    )


def tint(tracks: Tracks, factor: Sequence[float]) -> Tracks:
    """Tracks with red, green and blue times some factors >= 0."""
    gains = _checked_color("factor", factor)
    return replace(
        tracks,
        colors=(tracks.colors * gains).astype(np.float32),
        harmonics=None if tracks.harmonics is None else (tracks.harmonics * gains).astype(np.float32),
    )


def fade(tracks: Tracks, factor: float) -> Tracks:
    """Tracks whose opacities are ``factor`` times what they were, at most 1."""
    if not 0.0 <= factor < float("inf"):
        refuse("factor", "a number of at least 0", factor)
    if factor == 1.0:
        return tracks
    opacities = factor * (0.5 + 0.5 * np.tanh(0.5 * tracks.opacity_logits.astype(np.float64)))
    with np.errstate(divide="ignore"):
        logits = np.log(opacities) - np.log1p(-np.minimum(opacities, 1.0))
    return replace(tracks, opacity_logits=np.clip(logits, -OPACITY_LIMIT, OPACITY_LIMIT).astype(np.float32))


def relight(
    tracks: Tracks,
    *,
    ambient: Sequence[float] = (0.4, 0.4, 0.4),
    light: Sequence[float] = (0.8, 0.8, 0.8),
    toward: Sequence[float] = (0.0, 0.0, 1.0),
    at: int = 0,
) -> Tracks:
    """Tracks under an ambient and a directional light: colors times ambient + light max(0, normal . toward).

    An approximation, for want of what splats do not know: colors are taken for the albedo, though they hold the light
    that they were recorded in. The normal is the shortest axis of a particle, of which nobody says which way is out: it
    is the side that the eye sees, which harmonics of degree 1 and 3 tell apart within a tenth of the light up to 65
    degrees from the normal. There are no shadows, and the light is that of one instant: it turns with nothing.

    Args:
        tracks: Of n particles.
        ambient: RGB of the light from everywhere; 1 leaves colors as they are.
        light: RGB of the directional light on a surface that faces it.
        toward: Direction to that light, world frame, any length.
        at: Index of the instant of which the normals are.
    """
    everywhere, directed = _checked_color("ambient", ambient), _checked_color("light", light)
    direction = np.asarray(toward, np.float64)
    length = np.linalg.norm(direction)
    if not 0.0 < length < float("inf"):
        refuse("toward", "a direction", direction.tolist())
    axes = matrices_from_wxyz(tracks.rotations_wxyz[at].astype(np.float64))
    shortest = tracks.log_scales.argmin(axis=1)
    normals = np.take_along_axis(axes, shortest[:, None, None], axis=2)[:, :, 0]
    cosine = normals @ (direction / length)
    # max(0, s c) of the seen side s = +-1: half of |c| from both sides, half of c from the seen one
    seen = everywhere + 0.5 * np.abs(cosine)[:, None] * directed
    return replace(
        tracks,
        colors=(tracks.colors * seen).astype(np.float32),
        harmonics=_lit(tracks, seen, 0.5 * cosine[:, None] * directed * tracks.colors, normals),
    )


def _lit(tracks: Tracks, seen: np.ndarray, one_side: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Harmonics under the light: those there were, dimmed, and ``one_side`` [n, 3] times LIT_SIDE of the normals."""
    a, b = LIT_SIDE
    # c^3 = 3/5 P1 + 2/5 P3, and P_l(n . d) = 4 pi / (2 l + 1) sum_m Y_lm(n) Y_lm(d) (addition theorem)
    zonal = harmonics_basis(normals)
    zonal[:, :3] *= (a + 0.6 * b) * 4.0 * np.pi / 3.0
    zonal[:, 3:8] = 0.0
    zonal[:, 8:] *= 0.4 * b * 4.0 * np.pi / 7.0
    # harmonics are asked along the ray, which comes from the eye
    harmonics = -zonal[:, :, None] * one_side[:, None, :]
    if tracks.harmonics is not None:
        harmonics[:, : tracks.harmonics.shape[1]] += tracks.harmonics * seen[:, None, :]
    return harmonics.astype(np.float32)


def _checked_color(what: str, color: Sequence[float]) -> np.ndarray:
    values = np.asarray(color, np.float64)
    if values.shape != (3,) or not (values >= 0.0).all():
        refuse(what, "three numbers of at least 0 (red, green, blue)", values.tolist())
    check_finite(what, values)
    return values


def _check_share(what: str, share: float) -> None:
    if not 0.0 <= share <= 1.0:
        refuse(what, "a number from 0 to 1", share)
