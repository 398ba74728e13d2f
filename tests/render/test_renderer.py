"""Pictures of Gaussians, from NumPy to NumPy."""

from dataclasses import replace

import numpy as np
import pytest

from tests.reference.rasterize import CHANNELS, rasterize
from tests.render.worlds import AWAY, NEAR, random_parameters, rolled
from warpgs.render import Renderer
from warpgs.types import Gaussians

CAMERA = rolled().camera


def gaussians_of(seed: int = 2, count: int = 60) -> Gaussians:
    p = random_parameters(seed, count)
    rotations = p["rotations"] / np.linalg.norm(p["rotations"], axis=1, keepdims=True)
    arrays = {
        "means": p["means"],
        "rotations_wxyz": np.roll(rotations, 1, axis=1),
        "log_scales": p["log_scales"],
        "colors": p["colors"],
        "opacity_logits": p["opacity_logits"],
        "foreground": 1.0 / (1.0 + np.exp(-p["foreground_logits"])),
        "harmonics": 0.2 * np.random.default_rng(seed).normal(size=(count, 8, 3)),
    }
    return Gaussians(**{name: array.astype(np.float32) for name, array in arrays.items()})


@pytest.mark.parametrize("antialiased", [False, True])
def test_view_matches_oracle(antialiased, device):
    gaussians, renderer = gaussians_of(), Renderer(device, threads=2)
    options = {"near": NEAR, "antialiased": antialiased}
    picture = renderer.view(gaussians, CAMERA, normals=True, median_depth=True, **options)
    parameters = random_parameters(2, 60) | {"harmonics": gaussians.harmonics.astype(np.float64)}
    drawing = rasterize(parameters, CAMERA, NEAR, antialiased=antialiased)
    away = np.minimum(drawing.margin, drawing.median_margin) > AWAY
    expected = dict(zip(CHANNELS, drawing.image, strict=True))
    z = parameters["means"] @ CAMERA.camera_from_world[2, :3] + CAMERA.camera_from_world[2, 3]
    planes = {
        "color": np.stack([expected["red"], expected["green"], expected["blue"]], axis=2),
        "foreground": expected["foreground"],
        "depth": expected["depth"],
        "alpha": 1.0 - drawing.transmittance,
        "normals": np.stack([expected["normal_x"], expected["normal_y"], expected["normal_z"]], axis=2),
        "median_depth": np.where(drawing.median >= 0, z[drawing.median], 0.0),
    }
    for name, plane in planes.items():
        np.testing.assert_allclose(getattr(picture, name)[away], plane[away], atol=3e-5, err_msg=name)


def test_view_draws_what_was_asked_for_each_time(device):
    gaussians, renderer = gaussians_of(), Renderer(device, threads=1)
    plain = renderer.view(gaussians, CAMERA)
    assert plain.normals is None and plain.median_depth is None
    fair = renderer.view(gaussians, CAMERA, antialiased=True)
    assert np.abs(fair.color - plain.color).max() > 1e-3
    np.testing.assert_array_equal(renderer.view(gaussians, CAMERA).color, plain.color)
    small = CAMERA.resized(31, 17)
    assert renderer.view(gaussians, small, normals=True).normals.shape == (17, 31, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "name", ["means", "rotations_wxyz", "log_scales", "colors", "opacity_logits", "foreground", "harmonics"]
)
def test_view_refuses_numbers_that_are_not_finite_by_name(name, value, device):
    gaussians = gaussians_of()
    array = getattr(gaussians, name).copy()
    array[7, ...] = value
    broken = replace(gaussians, **{name: array})
    if name == "opacity_logits" and np.isinf(value):  # opacity 0 or 1
        assert np.isfinite(Renderer(device).view(broken, CAMERA).color).all()
        return
    with pytest.raises(ValueError, match=rf"Gaussians: {name}: expected finite numbers, got {value} at \[7"):
        Renderer(device).view(broken, CAMERA)
