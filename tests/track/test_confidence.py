"""What speaks for a track and against it, and how sure it makes the run."""

from dataclasses import fields, replace

import numpy as np
import pytest
import warp as wp
from scipy.spatial.transform import Rotation

from tests.track.recordings import QUICK, result_bytes, track_into
from warpgs.devices import pick_device
from warpgs.neighbors import nearest_neighbors
from warpgs.particles import Particles
from warpgs.priors import Rest, fit_local_rotations
from warpgs.reconstruct.objective import Objective
from warpgs.run import Run
from warpgs.track import track
from warpgs.track.confidence import BLIND, MODEL, RANGES, SIGHTED, TOLERANCE_RADII, confidence
from warpgs.track.evidence import MOST_VIEWS, SUMS, Evidence, Witness, evidence, signals_kernel, spread
from warpgs.track.working import WorkingFrame
from warpgs.types import Camera, Frame, Gaussians

NEW = np.ones(288, np.float32)
"""What is said of particles before their first timestep."""


def typical(**change: float) -> Evidence:
    """Of one particle that is tracked well."""
    values = {"visibility": 0.15, "seen": 0.1, "residual": 0.03, "contrast": 0.08, "strain": 0.0006, "twist": 0.03}
    return Evidence(**{name: np.full(1, value, np.float32) for name, value in (values | change).items()})


def wall(x: float, count: int = 12, spacing: float = 0.04) -> np.ndarray:
    """Centers of a square of particles across the x axis, shape [count^2, 3]."""
    grid = spacing * (np.arange(count) - 0.5 * (count - 1))
    y, z = np.meshgrid(grid, grid)
    return np.stack([np.full(y.size, x), y.ravel(), z.ravel()], axis=1).astype(np.float32)


def two_walls() -> Gaussians:
    """One behind the other, opaque, with about the contrast of real surfaces."""
    means = np.concatenate([wall(0.0), wall(0.3)])
    count, rng = len(means), np.random.default_rng(3)
    return Gaussians(
        means=means,
        rotations_wxyz=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        log_scales=np.full((count, 3), np.log(0.025), np.float32),
        colors=rng.uniform(0.35, 0.65, size=(count, 3)).astype(np.float32),
        opacity_logits=np.full(count, 4.0, np.float32),
        foreground=np.ones(count, np.float32),
    )


def cameras_in_front() -> tuple[Camera, ...]:
    """Three that look along x, from the side of the first wall."""
    views = []
    for number, y in enumerate((-0.2, 0.0, 0.2)):
        pose = np.eye(4)
        pose[:3, :3] = np.column_stack([[0, -1, 0], [0, 0, -1], [1, 0, 0]])
        pose[:3, 3] = [-1.5, y, 0.1 * number]
        views.append(Camera(str(number), 64, 48, np.array([[80.0, 0, 32], [0, 80.0, 24], [0, 0, 1]]), pose))
    return tuple(views)


def look(gaussians: Gaussians, shown: Gaussians) -> tuple[np.ndarray, Particles, Rest]:
    """Sums of ``gaussians`` against pictures of ``shown``; the particles, and what they remember of rest."""
    device, cameras = pick_device("cpu"), cameras_in_front()
    objective = Objective((1.0, 1.0), views_per_step=2, device=device, executor=None)
    blank = tuple(np.zeros((48, 64, 3), np.uint8) for _ in cameras)
    frame = Frame(0, 0.0, cameras, blank, None)
    objective.load(frame)
    recorded = [picture_of(objective, shown, view) for view in range(len(cameras))]
    images = tuple((255.0 * each[:3].clip(0, 1)).round().astype(np.uint8).transpose(1, 2, 0) for each in recorded)
    objective.load(replace(frame, images=images))
    particles = Particles.upload(gaussians, device)
    still = Particles.upload(shown, device)
    rest = Rest.build(still.means, still.rotations, nearest_neighbors(still.means, 8)[0], weight_sigma=0.05)
    return Witness(objective).look(particles, len(gaussians)), particles, rest


def picture_of(objective: Objective, gaussians: Gaussians, view: int) -> np.ndarray:
    from warpgs.render import Rasterizer  # noqa: PLC0415

    rasterizer = Rasterizer(len(gaussians), 64, 48, channels=objective.channels, device=objective.device)
    objective.draw(rasterizer, Particles.upload(gaussians, objective.device), view)
    return rasterizer.image.numpy().copy()


def test_signals_match_their_formulas():
    rng = np.random.default_rng(0)
    image, pictures = rng.random((4, 9, 12), np.float32), rng.random((2, 4, 9, 12), np.float32)
    gains, offsets = (rng.normal(scale=0.2, size=(3, 3)).astype(np.float32) for _ in range(2))
    signals = wp.zeros((4, 9, 12), dtype=float)
    arrays = [wp.array(image), wp.array(pictures), wp.array([1], dtype=int), wp.array(gains), wp.array(offsets)]
    wp.launch(signals_kernel, (9, 12), [*arrays, wp.array([2], dtype=int)], [signals])
    picture, corrected = pictures[1].astype(np.float64), np.exp(gains[2])[:, None, None] * image[:3]
    residual = np.abs(corrected + offsets[2][:, None, None] - picture[:3]).mean(axis=0)
    across = 0.5 * (np.roll(picture[:3], -1, 2) - np.roll(picture[:3], 1, 2))[:, 1:-1, 1:-1]
    down = 0.5 * (np.roll(picture[:3], -1, 1) - np.roll(picture[:3], 1, 1))[:, 1:-1, 1:-1]
    got = signals.numpy()
    np.testing.assert_allclose(got[0], residual, rtol=1e-5)
    np.testing.assert_allclose(got[1, 1:-1, 1:-1], np.hypot(across, down).mean(axis=0), rtol=1e-5)
    assert not got[2:].any()


def test_sums_are_the_shares_of_the_picture_times_what_it_signals():
    """Before black pictures the residual is the picture itself: with white particles it is the light."""
    walls = replace(two_walls(), colors=np.ones((288, 3), np.float32))
    sums, _, _ = look(walls, replace(walls, opacity_logits=walls.opacity_logits - 40.0))
    alpha, light, residual, contrast = sums.T
    assert (light > 1.0).sum() > 100 and (light <= alpha * (1.0 + 1e-5)).all() and not contrast.any()
    # the residual of a pixel is 1 - T of the whole pixel, and nearly all of it where walls are thick
    inner = light.reshape(2, 12, 12)[0, 3:-3, 3:-3].ravel()
    np.testing.assert_allclose(residual.reshape(2, 12, 12)[0, 3:-3, 3:-3].ravel(), inner, rtol=0.05)


def test_what_stands_behind_is_not_seen():
    walls = two_walls()
    sums, particles, rest = look(walls, walls)
    visibility = evidence(sums, particles, rest).visibility.reshape(2, 12, 12)[:, 3:-3, 3:-3]
    assert visibility[0].min() > 0.2 and visibility[1].max() < 0.02


def test_what_slides_over_its_surface_is_trusted_less_where_it_tears_off():
    walls = two_walls()
    means, torn = walls.means.copy(), np.zeros(288, bool)
    torn[:144] = walls.means[:144, 2] > 0.0  # the upper half of the first wall
    means[torn, 1] += 0.1
    right, wrong = (confidence(evidence(*look(each, walls)), NEW) for each in (walls, replace(walls, means=means)))
    assert right[:144].min() > 0.95 and (wrong[torn] < right[torn]).all() and wrong[torn].min() < 0.5


def test_what_is_scattered_off_its_surface_is_not_trusted():
    walls = two_walls()
    means = walls.means.copy()
    means[:144] += np.random.default_rng(1).normal(scale=0.05, size=(144, 3)).astype(np.float32)
    sums, particles, rest = look(replace(walls, means=means), walls)
    fit_local_rotations(particles.means, particles.rotations, rest, particles.rotations)  # as after every timestep
    found = confidence(evidence(sums, particles, rest), NEW)
    assert np.median(found[:144]) < 0.1 and found[:144].max() < 0.5


def test_a_rigid_motion_has_no_strain_and_no_twist():
    walls, turn = two_walls(), Rotation.from_rotvec([0.5, -0.3, 0.8])
    rotations = np.tile(np.roll(turn.as_quat(), 1).astype(np.float32), (288, 1))
    moved = replace(walls, means=turn.apply(walls.means).astype(np.float32), rotations_wxyz=rotations)
    sums, _, rest = look(walls, walls)
    found = evidence(sums, Particles.upload(moved, "cpu"), rest)
    assert found.strain.max() < 1e-5 and found.twist.max() < 2e-3


def test_one_particle_that_turns_alone_disagrees():
    walls = two_walls()
    rotations = walls.rotations_wxyz.copy()
    rotations[70] = [np.cos(0.2), np.sin(0.2), 0, 0]
    sums, _, rest = look(walls, walls)
    found = evidence(sums, Particles.upload(replace(walls, rotations_wxyz=rotations), "cpu"), rest)
    assert found.twist[70] == found.twist.max() > 0.02 and found.strain[70] == found.strain.max()


@pytest.mark.parametrize("name", RANGES)
def test_confidence_goes_one_way_with_each_piece_of_evidence(name: str):
    good = float(getattr(typical(), name)[0])
    sign = 1.0 if name in ("seen", "contrast") else -1.0
    found = [float(confidence(typical(**{name: factor * good}), np.zeros(1))[0]) for factor in (0.2, 1.0, 5.0)]
    assert sign * getattr(MODEL, name) >= 0.0 and (sign * np.diff(found) >= 0.0).all()


def test_what_is_out_of_sight_is_trusted_as_before_and_less_each_timestep():
    for share in (0.0, BLIND):
        before = np.exp([-((3.0 / MODEL.memory) ** 2)])
        for unseen in (4, 5, 6):
            before = confidence(typical(seen=share), before)
            np.testing.assert_allclose(before, np.exp(-((unseen / MODEL.memory) ** 2)), rtol=1e-5)
    told = [float(confidence(typical(seen=SIGHTED), before)[0]) for before in (np.zeros(1), np.ones(1))]
    assert told[0] == told[1]


def test_evidence_that_is_extreme_gives_probabilities():
    for value in (0.0, 1e9):
        found = confidence(Evidence(*(np.full(1, value, np.float32) for _ in fields(Evidence))), np.ones(1))
        assert 0.0 <= found[0] <= 1.0


def test_cameras_are_spread_whatever_their_order():
    random = np.random.default_rng(5)
    cameras = []
    for number in range(20):
        pose = np.eye(4)
        pose[:3, 3] = random.normal(size=3)
        cameras.append(Camera(str(number), 8, 8, np.eye(3), pose))
    chosen = {cameras[i].name for i in spread(cameras, MOST_VIEWS)}
    shuffled = [cameras[i] for i in random.permutation(20)]
    assert chosen == {shuffled[i].name for i in spread(shuffled, MOST_VIEWS)} and len(chosen) == MOST_VIEWS
    assert sorted(spread(cameras[:3] * 2, 6)) == list(range(6))


def test_track_judges_what_it_stores(recording, tmp_path):
    track_into(tmp_path, recording, QUICK)
    tracks = Run.open(tmp_path).tracks()
    moving = int((tracks.foreground >= 0.5).sum())
    assert (tracks.confidence[:, moving:] == 1.0).all() and (tracks.visibility[:, moving:] == 1.0).all()
    assert 0.0 < tracks.visibility[:, :moving].mean() < 1.0 and 0.0 < tracks.confidence[:, :moving].mean() < 1.0
    assert tracks.tolerance == TOLERANCE_RADII * WorkingFrame.of(recording.cameras("train")).unit_m
    for index, state in enumerate(track(recording, QUICK)):
        assert np.abs(state.judgment.confidence - tracks.confidence[index]).max() <= 0.5001 / 255


def test_judging_changes_no_track(recording, tmp_path, monkeypatch):
    track_into(tmp_path / "judged", recording, QUICK)
    monkeypatch.setattr(Witness, "look", lambda self, particles, moving: np.zeros((moving, SUMS), np.float32))
    track_into(tmp_path / "blind", recording, QUICK)
    judged, blind = (Run.open(tmp_path / name).tracks() for name in ("judged", "blind"))
    assert judged.means.tobytes() == blind.means.tobytes()
    assert judged.rotations_wxyz.tobytes() == blind.rotations_wxyz.tobytes()
    assert result_bytes(tmp_path / "judged") != result_bytes(tmp_path / "blind")


def test_a_resumed_run_remembers_how_sure_it_was(recording, tmp_path, monkeypatch):
    monkeypatch.setattr(Witness, "look", lambda self, particles, moving: np.zeros((moving, SUMS), np.float32))
    track_into(tmp_path, recording, QUICK, stop=2)
    track_into(tmp_path, recording, QUICK, resume=True)
    tracks = Run.open(tmp_path).tracks()
    moving = int((tracks.foreground >= 0.5).sum())
    expected = np.ones(1)
    for stored in tracks.confidence[:, :moving]:
        expected = confidence(typical(seen=0.0), expected)
        np.testing.assert_allclose(stored, np.rint(255.0 * expected[0]) / 255.0, atol=1e-6)  # in steps of 1/255
    assert expected[0] < 0.99
