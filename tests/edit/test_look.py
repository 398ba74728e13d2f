"""Color, opacity and light, against the formulas."""

from dataclasses import replace

import numpy as np
import pytest

from tests.reference.rasterize import harmonics as reference_harmonics
from tests.tracks_by_hand import make_tracks as make_simple
from tests.usd_export.sample import make_tracks
from warpgs.edit import fade, recolor, relight, tint

TRACKS = make_tracks(harmonics=8)


def test_recolor_goes_part_of_the_way():
    half = recolor(TRACKS, (1.0, 0.5, 0.0), share=0.5)
    np.testing.assert_allclose(half.colors, 0.5 * (TRACKS.colors + np.array([1.0, 0.5, 0.0])), atol=1e-6)
    np.testing.assert_allclose(half.harmonics, 0.5 * TRACKS.harmonics, atol=1e-7)
    same = recolor(TRACKS, (1.0, 0.5, 0.0), share=0.0)
    np.testing.assert_array_equal(same.colors, TRACKS.colors)


def test_recolor_with_shading_keeps_light_and_dark():
    gray = replace(TRACKS, colors=np.repeat(np.linspace(0.1, 0.9, 60, dtype=np.float32)[:, None], 3, axis=1))
    red = recolor(gray, (0.8, 0.0, 0.0), shading=True)
    np.testing.assert_allclose(red.colors[:, 0], 0.8 * gray.colors[:, 0] / np.median(gray.colors[:, 0]), rtol=1e-5)
    assert not red.colors[:, 1:].any()


def test_tint_multiplies_what_depends_on_the_direction_too():
    tinted = tint(TRACKS, (2.0, 1.0, 0.5))
    np.testing.assert_allclose(tinted.harmonics, TRACKS.harmonics * [2.0, 1.0, 0.5], rtol=1e-6)


def test_fade_multiplies_opacities():
    def opacity(tracks):
        return 1.0 / (1.0 + np.exp(-tracks.opacity_logits.astype(np.float64)))

    np.testing.assert_allclose(opacity(fade(TRACKS, 0.3)), 0.3 * opacity(TRACKS), rtol=1e-5)
    np.testing.assert_allclose(opacity(fade(TRACKS, 5.0)), np.minimum(5.0 * opacity(TRACKS), 1.0), rtol=1e-5)
    assert (opacity(fade(TRACKS, 0.0)) < 1e-17).all() and np.isfinite(fade(TRACKS, 0.0).opacity_logits).all()
    assert fade(TRACKS, 1.0) is TRACKS


def test_relight_is_near_lambert_on_the_side_that_is_seen():
    """Flat particles seen from anywhere within 65 degrees of either side."""
    rng = np.random.default_rng(0)
    rotations = rng.normal(size=(1, 400, 4))
    rotations /= np.linalg.norm(rotations, axis=2, keepdims=True)
    tracks = make_simple(rng.normal(size=(1, 400, 3)), rotations=rotations, sigma=(0.1, 0.1, 0.02))
    toward = np.array([0.3, -0.5, 0.8])
    lit = relight(tracks, ambient=(0.2, 0.3, 0.4), light=(1.0, 0.8, 0.6), toward=toward)
    w, x, y, z = rotations[0].T
    normals = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], axis=1)
    to_eye = rng.normal(size=(400, 3))
    to_eye /= np.linalg.norm(to_eye, axis=1, keepdims=True)
    facing = (normals * to_eye).sum(axis=1)
    outward = normals * np.sign(facing)[:, None]
    lambert = np.maximum(outward @ (toward / np.linalg.norm(toward)), 0.0)[:, None]
    expected = tracks.colors * (np.array([0.2, 0.3, 0.4]) + lambert * [1.0, 0.8, 0.6])
    seen = lit.colors + np.einsum("nk,nkc->nc", reference_harmonics(-to_eye, 15), lit.harmonics)
    close = np.abs(facing) > np.cos(np.deg2rad(65.0))
    assert np.abs(seen - expected)[close].max() < 0.1 * 0.5 + 0.02  # a tenth of the light, times the color
    assert np.abs(seen - expected)[close].mean() < 0.015


def test_relight_with_ambient_alone_only_multiplies():
    lit = relight(TRACKS, ambient=(0.5, 1.0, 2.0), light=(0.0, 0.0, 0.0))
    np.testing.assert_allclose(lit.colors, TRACKS.colors * [0.5, 1.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(lit.harmonics[:, :8], TRACKS.harmonics * [0.5, 1.0, 2.0], rtol=1e-6)
    assert lit.harmonics.shape == (60, 15, 3) and not lit.harmonics[:, 8:].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: recolor(TRACKS, (1.0, 0.0)), "color: expected three numbers"),
        (lambda: recolor(TRACKS, (1.0, -0.1, 0.0)), "color: expected three numbers"),
        (lambda: recolor(TRACKS, (1.0, np.nan, 0.0)), "color: expected three numbers"),
        (lambda: recolor(TRACKS, (1.0, 0.0, 0.0), share=1.1), "share: expected a number from 0 to 1"),
        (lambda: tint(TRACKS, (np.inf, 1.0, 1.0)), "factor: expected finite"),
        (lambda: fade(TRACKS, -0.1), "factor: expected a number of at least 0"),
        (lambda: relight(TRACKS, toward=(0.0, 0.0, 0.0)), "toward: expected a direction"),
    ],
)
def test_impossible_looks_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        change()
