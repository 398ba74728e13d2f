from dataclasses import replace

import numpy as np
import pytest
import warp as wp
from scipy.spatial.transform import Rotation

from tests.reference import rasterize as reference
from tests.reference.rasterize import rasterize
from tests.render.worlds import (
    AWAY,
    NEAR,
    World,
    assert_pictures,
    axis_camera,
    first_rows,
    look_at,
    one_gaussian,
    random_parameters,
    rolled,
    upright,
    wide,
    with_more,
)
from warpgs.render import Rasterizer
from warpgs.render.channels import CHANNELS, COLOR

DTYPES = pytest.mark.parametrize("dtype", [wp.float32, wp.float64])
TOLERANCE = {wp.float32: 1e-5, wp.float64: 1e-12}


def assert_empty(rasterizer):
    assert not rasterizer.image.numpy().any()
    assert (rasterizer.transmittance.numpy() == 1.0).all()


@DTYPES
def test_no_particles_make_a_black_picture(dtype, driver):
    none = World(first_rows(upright().parameters, 0), upright().camera)
    assert_empty(driver.render(none, dtype=dtype))
    gradients = driver.gradients(none, np.ones((6, none.camera.height, none.camera.width)), dtype=dtype)
    assert all(array.size == 0 for array in gradients.values())


@DTYPES
@pytest.mark.parametrize(
    "hide",
    [
        pytest.param(lambda p: {"means": p["means"] * [1, 0, 1] - [0, 3, 0]}, id="behind"),
        pytest.param(lambda p: {"means": p["means"] * 0.01 - [0, 2 - 0.5 * NEAR, -0.3]}, id="before the near plane"),
        pytest.param(lambda p: {"means": p["means"] * 0.1 + [30, 0, 0]}, id="aside"),
        pytest.param(lambda p: {"opacity_logits": np.full(40, -5.55)}, id="fainter than 1/255"),
        pytest.param(lambda p: {"opacity_logits": np.full(40, -200.0)}, id="nearly opacity 0"),
        pytest.param(lambda p: {"opacity_logits": np.full(40, -np.inf)}, id="opacity 0"),
    ],
)
def test_particles_that_cannot_be_seen_make_a_black_picture(hide, dtype, driver):
    world = upright()
    world = world.with_parameters(**hide(world.parameters))
    assert_empty(driver.render(world, dtype=dtype))
    adj_image = np.ones((6, world.camera.height, world.camera.width))
    assert not any(array.any() for array in driver.gradients(world, adj_image, dtype=dtype).values())


def test_hidden_particles_receive_no_gradient_from_an_earlier_view(driver):
    """The records of an earlier view must not leak into the next one."""
    world = upright()
    away = World(world.parameters, look_at((0.0, -2.0, 0.3), target=(0.0, -9.0, 0.3)))
    rasterizer = driver.render(world)
    particles = driver.particles(world)
    adj_image = wp.array(np.ones((6, world.camera.height, world.camera.width)), dtype=wp.float64, device=driver.device)
    gradients = driver.zeros(world)
    rasterizer.backward(particles, driver.views(world), driver.first_view(), adj_image, driver.zeros(world))
    rasterizer.render(particles, driver.views(away), driver.first_view())
    rasterizer.backward(particles, driver.views(away), driver.first_view(), adj_image, gradients)
    assert_pictures(rasterizer, away.draw(), atol=1e-12)
    seen = rasterize(world.parameters, away.camera, NEAR).image.any()
    assert not seen and not any(array.numpy().any() for array in gradients.named().values())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["means", "rotations", "log_scales", "opacity_logits"])
def test_a_broken_particle_harms_no_other(name, value, driver):
    world = upright()
    broken = world.parameters[name].copy()
    broken.flat[0] = value
    adj_image = np.ones((6, world.camera.height, world.camera.width))
    gradients = driver.gradients(world.with_parameters(**{name: broken}), adj_image, dtype=wp.float32)
    assert all(np.isfinite(array).all() for array in gradients.values())
    picture = driver.render(world.with_parameters(**{name: broken}), dtype=wp.float32).image.numpy()
    assert np.isfinite(picture).all()
    if np.isnan(value):
        faint = world.parameters["opacity_logits"].copy()
        faint[0] = -50.0
        without = driver.render(world.with_parameters(opacity_logits=faint), dtype=wp.float32)
        np.testing.assert_array_equal(picture, without.image.numpy())


@DTYPES
@pytest.mark.parametrize("logit", [20.0, 100.0, np.inf])
def test_an_opaque_particle_is_cut_to_0_99(logit, dtype, driver):
    world = World(one_gaussian((0, 0, 2), (0.3,) * 3, opacity_logit=logit), axis_camera(69, 41))
    rasterizer = driver.render(world, dtype=dtype)
    assert_pictures(rasterizer, world.draw(), TOLERANCE[dtype])
    np.testing.assert_allclose(rasterizer.transmittance.numpy()[20, 34], 0.01, rtol=1e-5)
    gradients = driver.gradients(world, np.ones((6, 41, 69)), dtype=dtype)
    assert all(np.isfinite(array).all() for array in gradients.values())
    assert abs(gradients["opacity_logits"][0]) <= 1e-5  # sigmoid is flat there


@DTYPES
def test_equal_depths_are_drawn_in_the_order_of_their_index(dtype, driver):
    rng = np.random.default_rng(11)
    count = 10_000
    parameters = random_parameters(12, count, log_scale=-3.0, opacity_logit=-2.5)
    parameters["means"] = np.column_stack([rng.uniform(-1.6, 1.6, (count, 2)) * [1.0, 0.6], np.full(count, 2.5)])
    world = World(parameters, axis_camera(35, 21, 30.0))
    here = driver.render(world, dtype=dtype)
    assert_pictures(here, world.draw(), 2.0 * TOLERANCE[dtype])
    reverse = World({name: array[::-1].copy() for name, array in parameters.items()}, world.camera)
    assert np.abs(driver.render(reverse, dtype=dtype).image.numpy() - here.image.numpy()).max() > 0.1


THIN = {
    "needle": (1e-4, 1e-4, 0.5),
    "pancake": (0.4, 0.4, 1e-5),
    "point": (1e-7, 1e-7, 1e-7),
    "flat needle": (1e-6, 0.02, 0.7),
}


@DTYPES
@pytest.mark.parametrize("shape", THIN)
@pytest.mark.parametrize("turn", [(0, 0, 0), (0, 90, 0), (0, 45, 45), (30, 60, 10), (90, 0, 0)])
def test_thin_particles_match_oracle_and_have_finite_gradients(turn, shape, dtype, driver):
    rotation = Rotation.from_euler("xyz", turn, degrees=True).as_quat()
    world = World(one_gaussian((0.1, 0.05, 1.5), THIN[shape], rotation=rotation), axis_camera())
    drawing = world.draw()
    assert_pictures(driver.render(world, dtype=dtype), drawing, {wp.float32: 3e-5, wp.float64: 1e-11}[dtype])
    adj_image = np.random.default_rng(3).normal(size=drawing.image.shape) * (drawing.margin > AWAY)
    assert all(np.isfinite(array).all() for array in driver.gradients(world, adj_image, dtype=dtype).values())


@pytest.mark.parametrize("length", [2.0, 10.0, 50.0])
@pytest.mark.parametrize("turn", [(0, 0, 0), (0, 45, 45), (30, 60, 10)])
def test_a_needle_across_the_whole_picture_survives_float32(turn, length, driver):
    """Its covariance has a condition of up to 1e8: few digits are left, but alpha must not run away."""
    rotation = Rotation.from_euler("xyz", turn, degrees=True).as_quat()
    world = World(one_gaussian((0.1, 0.05, 1.5), (1e-4, 1e-4, length), rotation=rotation), axis_camera(640, 360, 500.0))
    assert_pictures(driver.render(world, dtype=wp.float32), world.draw(), 0.02)


@DTYPES
@pytest.mark.parametrize("scale", [3.0, 100.0, 1e4])
def test_a_particle_larger_than_the_picture_matches_oracle(scale, dtype, driver):
    world = World(one_gaussian((0.2, -0.1, 2.0), (scale, 0.7 * scale, 0.5 * scale)), axis_camera(150, 70))
    assert_pictures(driver.render(world, dtype=dtype), world.draw(), TOLERANCE[dtype])


@DTYPES
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (64, 32), (65, 33), (641, 359)])
def test_picture_of_any_size_matches_oracle(size, dtype, driver):
    parameters = random_parameters(21, 25, log_scale=-1.8)
    camera = look_at((0.5, -2.0, 0.4), width=size[0], height=size[1], focal=(0.9 * size[0] + 2.0,) * 2, roll_deg=20.0)
    assert_pictures(driver.render(World(parameters, camera), dtype=dtype), World(parameters, camera).draw(), 1.5e-5)


@pytest.mark.parametrize("corner", [(0, 0), (2010, 1040), (4036, 2125)])
def test_a_window_of_a_picture_of_4096x2160_matches_oracle(corner, driver, monkeypatch):
    """The oracle draws the window alone: a camera with its principal point moved, and the clamp of the whole."""
    monkeypatch.setattr(reference, "JACOBIAN_CLAMP", np.inf)
    camera = look_at((0.5, -2.0, 0.4), width=4096, height=2160, focal=(3000.0, 3000.0))
    k = np.array(camera.intrinsics)
    k[:2, 2] -= corner
    window = replace(camera, width=60, height=35, intrinsics=k)
    rng = np.random.default_rng(22)
    parameters = random_parameters(22, 30, log_scale=-3.5)
    pixels = corner + rng.uniform(0.0, 1.0, (30, 2)) * [60, 35]
    depth = rng.uniform(1.5, 2.5, 30)
    rays = np.column_stack([(pixels - camera.intrinsics[:2, 2]) / 3000.0, np.ones(30)]) * depth[:, None]
    parameters["means"] = rays @ camera.world_from_camera[:3, :3].T + camera.center_world
    rasterizer = driver.render(World(parameters, camera), dtype=wp.float32, channels=3)
    x, y = corner
    got = rasterizer.image.numpy()[:, y : y + 35, x : x + 60]
    drawing = World(parameters, window).draw()
    away = drawing.margin > 1e-3
    assert away.mean() > 0.9 and (drawing.transmittance < 0.5).mean() > 0.2
    np.testing.assert_allclose(got[:, away], drawing.of(COLOR)[:, away], atol=2e-3)


@pytest.mark.parametrize("build", [upright, rolled, wide])
def test_image_is_unchanged_by_a_rigid_motion_of_scene_and_camera(build, driver):
    world = build()
    turn, shift = Rotation.from_rotvec([1.1, -0.7, 0.4]), np.array([3.0, -2.0, 5.0])
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = turn.as_matrix(), shift
    camera = replace(world.camera, world_from_camera=motion @ world.camera.world_from_camera)
    lengths = np.linalg.norm(world.parameters["rotations"], axis=1, keepdims=True)
    rotations = (turn * Rotation.from_quat(world.parameters["rotations"])).as_quat() * lengths
    moved = World(world.parameters, camera).with_parameters(
        means=turn.apply(world.parameters["means"]) + shift, rotations=rotations
    )
    here, there = driver.render(world), driver.render(moved)
    np.testing.assert_allclose(there.image.numpy(), here.image.numpy(), atol=1e-9)
    np.testing.assert_allclose(there.transmittance.numpy(), here.transmittance.numpy(), atol=1e-9)


def test_image_is_unchanged_by_the_unit_of_length(driver):
    world = rolled()
    pose = world.camera.world_from_camera.copy()
    pose[:3, 3] *= 4.0
    larger = World(world.parameters, replace(world.camera, world_from_camera=pose)).with_parameters(
        means=4.0 * world.parameters["means"], log_scales=world.parameters["log_scales"] + np.log(4.0)
    )
    here, there = driver.render(world).image.numpy(), driver.render(larger).image.numpy()
    np.testing.assert_allclose(there[:5], here[:5], atol=1e-9)
    np.testing.assert_allclose(there[5], 4.0 * here[5], atol=1e-9)


@DTYPES
def test_image_does_not_depend_on_the_order_or_sign_or_length_of_parameters(dtype, world, driver):
    """Depths differ, so that neither permutation nor quaternion scale has any effect."""
    order = np.random.default_rng(31).permutation(len(world.parameters["means"]))
    shuffled = World({name: array[order] for name, array in world.parameters.items()}, world.camera)
    here = driver.render(world, dtype=dtype).image.numpy()
    np.testing.assert_array_equal(driver.render(shuffled, dtype=dtype).image.numpy(), here)
    longer = world.with_parameters(rotations=-4.0 * world.parameters["rotations"])
    np.testing.assert_array_equal(driver.render(longer, dtype=dtype).image.numpy(), here)


@DTYPES
def test_foreground_and_background_sum_to_alpha(dtype, world, driver):
    rasterizer = driver.render(world, dtype=dtype)
    shares = rasterizer.image.numpy()[3:5].sum(axis=0)
    np.testing.assert_allclose(shares, 1.0 - rasterizer.transmittance.numpy(), atol=TOLERANCE[dtype])


@pytest.mark.parametrize("channels", [("depth",), ("blue", "red"), ("normal_x", "background", "normal_y", "green")])
@DTYPES
def test_some_channels_are_those_of_all(channels, dtype, world, driver):
    every, some = driver.render(world, dtype=dtype, channels=9), driver.render(world, dtype=dtype, channels=channels)
    chosen = every.image.numpy()[[CHANNELS.index(name) for name in channels]]
    # to a rounding: how multiplications and additions are contracted depends on the number of channels
    np.testing.assert_allclose(some.image.numpy(), chosen, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(some.transmittance.numpy(), every.transmittance.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("channels", "features", "message"),
    [
        (("red", "hue"), 0, "names among red, green, .*, got 'hue'"),
        (("red", "depth", "red"), 0, "names that are all different, got red, depth, red"),
        ((), 0, "1 to 32, features included, got 0 channels and 0 features"),
        (("red",), 32, "1 to 32, features included, got 1 channels and 32 features"),
        (("red", "green"), -1, "1 to 32, features included, got 2 channels and -1 features"),
    ],
)
def test_rasterizer_refuses_channels_it_does_not_have(channels, features, message, device):
    with pytest.raises(ValueError, match=f"channels: expected {message}"):
        Rasterizer(3, 8, 8, channels=channels, features=features, device=device)


@pytest.mark.parametrize("shape", [None, (40, 1), (39, 2)])
def test_rasterizer_refuses_features_of_another_shape(shape, driver):
    world = with_more(upright(), features=2)
    rasterizer = driver.rasterizer(world)
    features = None if shape is None else wp.zeros(shape, dtype=wp.float64, device=driver.device)
    with pytest.raises(ValueError, match=r"features: expected .*shape \[40, 2\], got "):
        rasterizer.render(driver.particles(world), driver.views(world), driver.first_view(), features=features)


def test_rasterizer_refuses_features_without_a_place(driver):
    features = wp.zeros((40, 1), dtype=wp.float64, device=driver.device)
    with pytest.raises(ValueError, match=r"features: expected shape \[40, 0\], got \[40, 1\]"):
        driver.rasterizer(upright()).render(
            driver.particles(upright()), driver.views(upright()), driver.first_view(), features=features
        )


def test_rasterizer_refuses_another_count_of_particles(driver):
    rasterizer = driver.rasterizer(upright())
    fewer = World(first_rows(upright().parameters, 3), upright().camera)
    with pytest.raises(ValueError, match="particles: expected 40, as allocated, got 3; make a Rasterizer"):
        rasterizer.render(driver.particles(fewer), driver.views(fewer), driver.first_view())
