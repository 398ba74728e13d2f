"""The image terms of one timestep: sums over views, what is drawn once, and in which order views are taken."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import warp as wp
from PIL import Image

from tests.reconstruct.room import BALL_CENTER, BALL_RADIUS, room_frame, texture
from warpgs.particles import Particles
from warpgs.reconstruct.objective import Objective, scene_radius
from warpgs.reconstruct.order import ViewOrder
from warpgs.types import Camera, Frame, Gaussians

COUNT, MOVING = 500, 150
ALL = range(4)


@pytest.fixture(scope="module")
def frame() -> Frame:
    return room_frame(4, 70, 40)


@pytest.fixture(scope="module")
def gaussians() -> Gaussians:
    """Some on the ball, first, and some around it; of all opacities, so that many are seen through others."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(COUNT, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    reach = np.where(np.arange(COUNT) < MOVING, BALL_RADIUS, rng.uniform(0.5, 2.0, COUNT))
    means = BALL_CENTER + directions * reach[:, None]
    rotations = rng.normal(size=(COUNT, 4))
    return Gaussians(
        means=means.astype(np.float32),
        rotations_wxyz=(rotations / np.linalg.norm(rotations, axis=1, keepdims=True)).astype(np.float32),
        log_scales=rng.normal(-2.7, 0.3, (COUNT, 3)).astype(np.float32),
        colors=texture(means).astype(np.float32),
        opacity_logits=rng.normal(0.0, 1.5, COUNT).astype(np.float32),
        foreground=np.where(np.arange(COUNT) < MOVING, 0.9, 0.1).astype(np.float32),
    )


def objective_of(frame: Frame, *, weights=(1.0, 2.0), views_per_step: int = 1, device: str = "cpu", **options):
    options = {"executor": None, **options}
    objective = Objective(weights, views_per_step=views_per_step, device=wp.get_device(device), **options)
    objective.load(frame)
    return objective


def gradients_of(objective: Objective, gaussians: Gaussians, views, *, active: int = COUNT, drawn: int = COUNT):
    """Gradients by name, those of the color corrections too."""
    particles = Particles.upload(gaussians, objective.device)
    gradients = Particles.zeros(active, objective.device)
    corrections = [wp.zeros_like(objective.log_gains), wp.zeros_like(objective.offsets)]
    objective.accumulate(particles.rows(0, drawn), views, gradients, *corrections)
    result = {name: array.numpy().copy() for name, array in gradients.named().items()}
    return result | {"log_gains": corrections[0].numpy(), "offsets": corrections[1].numpy()}


def check_close(got: dict, expected: dict, tolerance: float) -> None:
    """Within ``tolerance`` of the largest number of each array; 0: the same bits."""
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        if tolerance == 0.0:
            np.testing.assert_array_equal(got[name], array, err_msg=name)
        else:
            limit = tolerance * np.abs(array).max()
            np.testing.assert_allclose(got[name], array, rtol=0.0, atol=limit, err_msg=name)


def scaled_sum(results: list[dict], factor: float) -> dict:
    return {name: factor * sum(result[name] for result in results) for name in results[0]}


def test_gradient_of_a_step_is_the_mean_of_its_views(frame, gaussians, device):
    together = objective_of(frame, views_per_step=3, device=device)
    alone = objective_of(frame, device=device)
    got = gradients_of(together, gaussians, [3, 0, 1])
    values, singles = [], []
    for view in (3, 0, 1):
        singles.append(gradients_of(alone, gaussians, [view]))
        values.append(alone.value())
    check_close(got, scaled_sum(singles, 1.0 / 3.0), 1e-5)
    assert together.value() == pytest.approx(np.mean(values), rel=1e-6)
    assert all(np.abs(array).max() > 0.0 for array in got.values())


def test_accumulate_adds_to_what_is_there(frame, gaussians, device):
    objective = objective_of(frame, device=device)
    particles = Particles.upload(gaussians, objective.device)
    gradients = Particles.zeros(COUNT, objective.device)
    for view in (0, 2):
        objective.accumulate(particles, [view], gradients)
    got = {name: array.numpy() for name, array in gradients.named().items()}
    singles = [gradients_of(objective, gaussians, [view]) for view in (0, 2)]
    expected = {name: sum(single[name] for single in singles) for name in got}
    check_close(got, expected, 1e-6)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_do_not_depend_on_the_executor(threads, frame, gaussians):
    serial = objective_of(frame, views_per_step=4)
    with ThreadPoolExecutor(threads) as executor:
        parallel = objective_of(frame, views_per_step=4, executor=executor)
        for _ in range(2):  # the first step is serial in any case
            got = gradients_of(parallel, gaussians, ALL)
    check_close(got, gradients_of(serial, gaussians, ALL), 0.0)
    assert parallel.value() == serial.value() and parallel.psnr() == serial.psnr()


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("held", [False, True])
def test_captured_steps_give_the_bits_of_steps_as_written(held, threads, frame, gaussians):
    """Cameras, pictures, particles and gradients change under the recordings; the first timestep's come back."""
    other = replace(frame, images=frame.images[::-1])
    particles, gradients = Particles.upload(gaussians, "cpu"), Particles.zeros(COUNT, "cpu")
    if held:
        particles, gradients = particles.rows(0, MOVING), Particles.zeros(MOVING, "cpu")
    results = []
    with ThreadPoolExecutor(threads or 1) as executor:
        objective = objective_of(frame, views_per_step=2, executor=executor if threads else None)
        if held:
            objective.hold(Particles.upload(gaussians, "cpu").rows(MOVING, COUNT))
        for instant in (frame, other, frame, other):
            objective.load(instant)
            for views in ([0, 1], [2, 0], [0, 3], [0, 1]):
                gradients.zero_()
                objective.accumulate(particles, views, gradients)
                results.append(gradients.means.numpy().tobytes() + np.float64(objective.value()).tobytes())
    assert results[:8] == results[8:]
    assert len(set(results)) == 6
    fresh = objective_of(other, views_per_step=2)
    if held:
        fresh.hold(Particles.upload(gaussians, "cpu").rows(MOVING, COUNT))
    gradients.zero_()
    fresh.accumulate(particles, [2, 0], gradients)
    assert gradients.means.numpy().tobytes() + np.float64(fresh.value()).tobytes() == results[5]


def test_results_do_not_depend_on_the_room_for_splats(frame, gaussians, monkeypatch):
    """Large splats lie in many tiles: the lists overflow within a captured step."""
    monkeypatch.setattr("warpgs.render.bins.PAIRS_PER_SPLAT", 0)
    particles, gradients = Particles.upload(gaussians, "cpu"), Particles.zeros(COUNT, "cpu")
    results = []
    for warm_up in (3, 0):
        objective = objective_of(frame, views_per_step=2)
        particles.log_scales.assign(gaussians.log_scales)
        for _ in range(warm_up):
            objective.accumulate(particles, [0, 1], gradients)
        particles.log_scales.assign(gaussians.log_scales + 1.5)
        for _ in range(3):
            before = [rasterizer._bins.capacity for rasterizer in objective.rasterizers()]
            gradients.zero_()
            objective.accumulate(particles, [0, 1], gradients)
            results.append((gradients.means.numpy().tobytes(), objective.value()))
            if warm_up and len(results) == 1:
                assert all(r._bins.capacity > old for r, old in zip(objective.rasterizers(), before, strict=True))
    assert len(set(results)) == 1


def test_gradients_of_the_first_particles_do_not_need_the_others(frame, gaussians, device):
    objective = objective_of(frame, device=device)
    whole = gradients_of(objective, gaussians, [1])
    part = gradients_of(objective, gaussians, [1], active=MOVING)
    expected = {name: array if name in ("log_gains", "offsets") else array[:MOVING] for name, array in whole.items()}
    check_close(part, expected, 1e-5)


def resized(frame: Frame, width: int, height: int) -> Frame:
    """Pictures averaged over areas beforehand, under cameras of that size."""

    def shrink(picture: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))

    return replace(
        frame,
        cameras=tuple(camera.resized(width, height) for camera in frame.cameras),
        images=tuple(map(shrink, frame.images)),
        masks=tuple(map(shrink, frame.masks)),
    )


@pytest.mark.parametrize(("scale", "size"), [(0.5, (35, 20)), (0.3, (21, 12)), (0.001, (1, 1))])
def test_image_scale_is_a_smaller_recording(scale, size, frame, gaussians):
    scaled = objective_of(frame, image_scale=scale)
    small = objective_of(resized(frame, *size))
    assert {(camera.width, camera.height) for camera in scaled.cameras} == {size}
    check_close(gradients_of(scaled, gaussians, [2]), gradients_of(small, gaussians, [2]), 0.0)


def test_targets_are_the_pictures_and_masks(frame):
    objective = objective_of(frame, with_background=True)
    for view, (image, mask) in enumerate(zip(frame.images, frame.masks, strict=True)):
        planes = objective.picture(view)
        np.testing.assert_array_equal(planes[:3], image.transpose(2, 0, 1).astype(np.float32) / 255.0)
        np.testing.assert_array_equal(planes[3], mask.astype(np.float32) / 255.0)
        np.testing.assert_array_equal(planes[4], 1.0 - planes[3])


def test_frame_without_masks_puts_no_weight_on_the_mask(frame, gaussians):
    unmasked = objective_of(replace(frame, masks=None))
    got = gradients_of(unmasked, gaussians, [0])
    assert not got["foreground_logits"].any()
    check_close(got, gradients_of(objective_of(frame, weights=(1.0, 0.0)), gaussians, [0]), 0.0)


def test_loss_is_linear_in_its_weights(frame, gaussians):
    color, mask, both = (objective_of(frame, weights=weights) for weights in ((1.0, 0.0), (0.0, 1.0), (2.0, 3.0)))
    parts = [gradients_of(objective, gaussians, [0]) for objective in (color, mask)]
    got = gradients_of(both, gaussians, [0])
    check_close(got, {name: 2.0 * parts[0][name] + 3.0 * parts[1][name] for name in got}, 1e-5)
    assert both.value() == pytest.approx(2.0 * color.value() + 3.0 * mask.value(), rel=1e-6)
    assert not parts[1]["colors"].any() and not parts[0]["foreground_logits"].any()


def test_background_channel_shares_the_weight_of_the_mask(frame, gaussians):
    """The protocol's mask picture is foreground, nothing, background: a mean over three channels."""
    with_background = objective_of(frame, weights=(0.0, 3.0), with_background=True)
    foreground_alone = objective_of(frame, weights=(0.0, 1.0))
    swapped = replace(frame, masks=tuple(255 - mask for mask in frame.masks))
    background_alone = objective_of(swapped, weights=(0.0, 1.0))
    turned = replace(gaussians, foreground=(1.0 - gaussians.foreground).astype(np.float32))
    both = gradients_of(with_background, gaussians, [0])
    foreground = gradients_of(foreground_alone, gaussians, [0])
    background = gradients_of(background_alone, turned, [0])
    background["foreground_logits"] *= -1.0
    check_close(both, scaled_sum([foreground, background], 1.0), 1e-4)


def test_cameras_of_different_sizes_share_a_step(frame, gaussians):
    half = resized(frame, 35, 20)
    mixed = Frame(
        0, 0.0, (frame.cameras[0], half.cameras[1]), (frame.images[0], half.images[1]), (frame.masks[0], half.masks[1])
    )
    with ThreadPoolExecutor(2) as executor:
        objective = objective_of(mixed, views_per_step=2, executor=executor)
        for _ in range(2):
            got = gradients_of(objective, gaussians, [1, 0])
    # the near plane and the corrections follow from all cameras of a frame, so keep both here
    singles = [gradients_of(objective_of(mixed), gaussians, [view]) for view in (1, 0)]
    check_close(got, scaled_sum(singles, 0.5), 1e-6)
    assert [(r.width, r.height) for r in objective.rasterizers()] == [(35, 20), (70, 40)]


def test_more_views_than_cameras_are_all_cameras(frame, gaussians):
    wanted = objective_of(frame, views_per_step=9)
    assert wanted.views_per_step == 4
    got = gradients_of(wanted, gaussians, ViewOrder(4, wanted.views_per_step, 0, 0).take())
    check_close(got, gradients_of(objective_of(frame, views_per_step=4), gaussians, ALL), 1e-5)


def test_hold_gives_the_image_and_gradients_of_drawing_everything(frame, gaussians):
    everything, held = objective_of(frame, views_per_step=2), objective_of(frame, views_per_step=2)
    expected = gradients_of(everything, gaussians, [2, 1], active=MOVING)
    held.hold(Particles.upload(gaussians, "cpu").rows(MOVING, COUNT))
    for _ in range(2):  # the second time from backdrops kept
        check_close(gradients_of(held, gaussians, [2, 1], active=MOVING, drawn=MOVING), expected, 2e-4)
        for one, other in zip(held.rasterizers(), everything.rasterizers(), strict=True):
            error = np.abs(one.image.numpy() - other.image.numpy())
            # no splat stops a pixel that lets a hundredth of the light through; the others stop in either order
            clear = other.transmittance.numpy() > 0.01
            assert 0.5 < clear.mean() < 1.0
            assert error[:, clear].max() < 1e-5 and error.max() < 1e-3
        assert held.psnr() == pytest.approx(everything.psnr(), abs=1e-3)
        assert held.value() == pytest.approx(everything.value(), rel=1e-4)
    nothing = objective_of(frame, views_per_step=2)
    alone = gradients_of(nothing, gaussians, [2, 1], active=MOVING, drawn=MOVING)
    assert np.abs(alone["means"] - expected["means"]).max() > 0.1 * np.abs(expected["means"]).max()


def shifted(frame: Frame, shift: np.ndarray) -> Frame:
    def moved(camera: Camera) -> Camera:
        pose = camera.world_from_camera.copy()
        pose[:3, 3] += shift
        return replace(camera, world_from_camera=pose)

    return replace(frame, cameras=tuple(map(moved, frame.cameras)))


def test_moving_cameras_see_a_new_backdrop(frame, gaussians):
    moved = shifted(frame, np.array([0.1, 0.0, 0.05]))
    background = Particles.upload(gaussians, "cpu").rows(MOVING, COUNT)
    results = {}
    for name, visited in {"moving": [frame, moved, frame], "still": [frame], "there": [moved]}.items():
        objective = objective_of(visited[0])
        objective.hold(background)
        results[name] = []
        for instant in visited:
            objective.load(instant)
            results[name].append(gradients_of(objective, gaussians, [0], active=MOVING, drawn=MOVING))
    check_close(results["moving"][1], results["there"][0], 0.0)
    check_close(results["moving"][2], results["still"][0], 0.0)
    assert (results["there"][0]["means"] != results["still"][0]["means"]).any()


def test_hold_replaces_what_was_held(frame, gaussians):
    particles = Particles.upload(gaussians, "cpu")
    objective, fresh = objective_of(frame), objective_of(frame)
    objective.hold(particles.rows(MOVING, COUNT))
    gradients_of(objective, gaussians, [0], active=MOVING, drawn=MOVING)
    for each in (objective, fresh):
        each.hold(particles.rows(COUNT - 100, COUNT))
    got, expected = (gradients_of(each, gaussians, [0], active=MOVING, drawn=MOVING) for each in (objective, fresh))
    check_close(got, expected, 0.0)


def test_corrections_are_applied_and_kept_over_timesteps(frame, gaussians):
    rng = np.random.default_rng(1)
    log_gains, offsets = rng.normal(0.0, 0.2, (2, 4, 3)).astype(np.float32)
    objective = objective_of(frame, weights=(1.0, 0.0), corrections=(log_gains, offsets))
    objective.load(frame)
    gradients_of(objective, gaussians, [2])
    picture = np.exp(log_gains[2])[:, None, None] * objective.rasterizers()[0].image.numpy()[:3]
    picture += offsets[2][:, None, None]
    error = picture - objective.picture(2)[:3]
    assert objective.psnr() == pytest.approx(-10.0 * np.log10((error.astype(np.float64) ** 2).mean()), abs=1e-3)
    np.testing.assert_array_equal(objective.log_gains.numpy(), log_gains)


def test_scene_radius_is_that_of_the_3dgs_family(frame):
    centers = np.array([camera.center_world for camera in frame.cameras])
    expected = 1.1 * max(np.linalg.norm(center - centers.mean(axis=0)) for center in centers)
    assert scene_radius(frame.cameras) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_scene_radius_needs_two_places(count, frame):
    with pytest.raises(ValueError, match=f"^training cameras: expected at least two, at different places, got {count}"):
        scene_radius([frame.cameras[0]] * count)


@pytest.mark.parametrize(("view_count", "per_step"), [(6, 2), (6, 1), (5, 5), (12, 3)])
def test_view_order_takes_each_view_once_per_round(view_count, per_step):
    views = ViewOrder(view_count, per_step, seed=3, timestep=1)
    rounds = [[views.take() for _ in range(view_count // per_step)] for _ in range(4)]
    for steps in rounds:
        assert sorted(view for step in steps for view in step) == list(range(view_count))
    assert len({str(steps) for steps in rounds}) > 1 or view_count == per_step


@pytest.mark.parametrize(("view_count", "per_step"), [(7, 2), (5, 3), (3, 8), (1, 1)])
def test_view_order_never_takes_a_view_twice_in_a_step(view_count, per_step):
    views = ViewOrder(view_count, per_step, seed=0, timestep=0)
    for _ in range(20):
        step = views.take()
        assert len(step) == len(set(step)) == min(per_step, view_count) and set(step) <= set(range(view_count))


def test_view_order_depends_on_seed_and_timestep_alone():
    orders = [ViewOrder(20, 2, seed, timestep) for seed, timestep in ((1, 2), (1, 2), (1, 3), (2, 2))]
    taken = [[order.take() for _ in range(10)] for order in orders]
    assert taken[0] == taken[1] and taken[0] != taken[2] and taken[0] != taken[3]
