"""What enters after the first timestep gets particles; nothing else does."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import warp as wp
from scipy.ndimage import binary_opening
from scipy.spatial.transform import Rotation

from scenes.synthetic import Body, Pattern, SyntheticOptions, SyntheticScene, Texture, ball, box
from tests.reconstruct.room import BALL_CENTER, BALL_RADIUS, room_frame
from tests.track.recordings import FIXED, QUICK, Recording, result_bytes, track_into
from tests.tracks_by_hand import make_gaussians
from warpgs.particles import Particles
from warpgs.reconstruct.seed import SeedConfig
from warpgs.run import Run
from warpgs.track.births import Newcomers
from warpgs.track.config import BirthConfig, RigidConfig
from warpgs.track.unexplained import Unexplained, opened
from warpgs.types import Frame, PointCloud

OPTIONS = SyntheticOptions(
    width=128, height=72, timesteps=5, train_cameras=6, test_cameras=0, cloud_background=1200, cloud_foreground=500
)
STEP_M = np.array([0.05, 0.0, 0.02])
BALL_M = 0.2
EVERYTHING = tuple(f"poses/{i:06d}.npz" for i in range(5))


CONFIG = replace(
    QUICK,
    follow=replace(QUICK.follow, rigid=RigidConfig(clusters=6, steps=12, first_steps=60), births=BirthConfig(steps=40)),
)


def bodies() -> list[Body]:
    textures = [
        Texture(Pattern.CHECKER, 0.1, ((0.9, 0.2, 0.1), (0.1, 0.3, 0.9), (0.9, 0.9, 0.2)), seed=seed) for seed in (1, 2)
    ]
    return [box("box", (0.4, 0.3, 0.3), textures[0]), ball("ball", BALL_M, textures[1])]


def center(timestep: int) -> np.ndarray:
    return np.array([-0.4, -0.3, 0.45]) + timestep * STEP_M


@pytest.fixture(scope="module")
def entering() -> Recording:
    """A box that turns, and from timestep 1 on a ball beside it, whole in all pictures at once."""
    poses = np.tile(np.eye(4), (5, 2, 1, 1))
    for timestep in range(5):
        poses[timestep, 0, :3, :3] = Rotation.from_euler("z", 0.05 * timestep).as_matrix()
        poses[timestep, 0, :3, 3] = 0.3, 0.2, 0.16
        poses[timestep, 1, :3, 3] = center(timestep)
    without = SyntheticScene("box", bodies()[:1], poses[:, :1], OPTIONS)
    both = SyntheticScene("box and ball", bodies(), poses, OPTIONS)
    return Recording((without.frame(0), *(both.frame(i) for i in range(1, 5))), without.point_cloud())


@pytest.fixture(scope="module")
def whole(entering, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("entering")
    track_into(path, entering, CONFIG)
    return path


def test_track_gives_birth_to_what_enters_once_it_was_seen_twice(whole):
    run = Run.open(whole)
    tracks = run.tracks()
    assert sorted(run.births()) == [2]
    born = tracks.birth == 2
    assert set(tracks.birth.tolist()) == {0, 2} and (tracks.foreground[born] > 0.9).all()
    assert [run.read_pose(i).extra.get("waited") for i in range(5)] == [None, 1, None, None, None]
    distance = np.linalg.norm(tracks.means[2, born] - center(2), axis=1)
    assert (distance < 1.3 * BALL_M).mean() > 0.95 and np.median(distance) > 0.7 * BALL_M
    outward = (tracks.means[2, born] - center(2)) / distance[:, None]
    assert np.linalg.norm(outward.mean(axis=0)) < 0.3  # from all sides


def test_track_follows_what_entered(whole):
    tracks = Run.open(whole).tracks()
    born = tracks.birth == 2
    for later in (3, 4):
        moved = tracks.means[later, born] - tracks.means[2, born]
        np.testing.assert_allclose(np.median(moved, axis=0), (later - 2) * STEP_M, atol=0.015)
    for earlier in (0, 1):
        assert len(tracks.at(earlier)) == (~born).sum()


def test_track_of_what_entered_resumes_to_the_same_bytes(whole, entering, tmp_path):
    for stop in (2, 1, 1):  # while it is waited for, at its birth, after it
        track_into(tmp_path, entering, CONFIG, stop=stop, resume=True)
    states = track_into(tmp_path, entering, replace(CONFIG, threads=2), resume=True)
    assert len(states) == 1
    got, expected = result_bytes(tmp_path), result_bytes(whole)
    assert sorted(got) == sorted(expected) == sorted(["births/000002.npz", "gaussians.npz", *EVERYTHING])
    assert [name for name in expected if got[name] != expected[name]] == []


def test_track_gives_no_birth_when_told_so(entering, tmp_path):
    config = replace(QUICK, follow=replace(QUICK.follow, births=BirthConfig(enabled=False)))
    track_into(tmp_path, entering, config)
    assert sorted(result_bytes(tmp_path)) == ["gaussians.npz", *EVERYTHING]


def test_track_gives_birth_where_nothing_moved_at_first(entering, tmp_path):
    background = ~entering.cloud.foreground
    still = replace(entering, cloud=PointCloud(*(array[background] for array in vars(entering.cloud).values())))
    fixed = replace(FIXED, follow=CONFIG.follow)
    states = track_into(tmp_path, still, fixed)
    tracks = Run.open(tmp_path).tracks()
    assert len(states) == 5 and (tracks.foreground[tracks.birth == 0] < 0.5).all() and tracks.birth.max() >= 1
    assert np.isfinite(tracks.means).all()


# What counts as new: the ball of the room, and particles that explain more or less of it


@pytest.fixture(scope="module")
def look() -> Callable[..., object]:
    """Looks twice at a room, with balls of particles as large as the one in the pictures times a factor."""

    @cache
    def ball_of_particles(size: float) -> Particles:
        directions = np.random.default_rng(3).normal(size=(1500, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        points = BALL_CENTER + 0.96 * size * BALL_RADIUS * directions
        gaussians = make_gaussians(points, sigma=0.04 * size, opacity_logits=np.full(1500, 3.0))
        return Particles.upload(gaussians, "cpu")

    def find(frame: Frame, size: float | None = None, times: int = 2, **settings):
        particles = Particles.zeros(0, "cpu") if size is None else ball_of_particles(size)
        newcomers = Newcomers(
            BirthConfig(**settings), SeedConfig(), wp.get_device("cpu"), Unexplained(wp.get_device("cpu"), None)
        )
        return [newcomers.after(particles, frame) for _ in range(times)][-1]

    return find


def test_newcomers_lie_on_the_surface_of_what_no_particle_explains(look):
    cloud = look(room_frame())
    distance = np.linalg.norm(cloud.points - BALL_CENTER, axis=1)
    np.testing.assert_allclose(distance, BALL_RADIUS, atol=0.06)
    assert cloud.colors[:, 0].mean() > 2.0 * cloud.colors[:, 1].mean()  # the ball is red


def test_newcomers_are_not_called_at_first_sight(look):
    assert look(room_frame(), times=1) is None
    assert look(room_frame(), times=3) is None  # and after a birth only when seen twice again
    assert look(room_frame(), times=4) is not None


@pytest.mark.parametrize("size", [1.0, 0.93, 1.1])
def test_nothing_is_new_where_particles_cover_the_masks_but_for_a_rim(look, size):
    assert look(room_frame(), size) is None


def test_nothing_is_new_in_too_few_pictures(look):
    frame = room_frame()
    for count in (3, 4):
        masks = tuple(mask if i < count else np.zeros_like(mask) for i, mask in enumerate(frame.masks or ()))
        assert look(replace(frame, masks=masks)) is None  # four see it, and eight say that there is nothing
    assert look(replace(frame, masks=None)) is None


def test_nothing_is_new_where_pictures_do_not_agree(look):
    frame = room_frame()
    masks = [np.zeros_like(mask) for mask in frame.masks or ()]
    for i, mask in enumerate(masks):  # a patch elsewhere from camera to camera
        row, column = divmod(i, 4)
        mask[25 * row + 5 : 25 * row + 15, 35 * column + 5 : 35 * column + 15] = 255
    assert look(replace(frame, masks=tuple(masks))) is None


@pytest.mark.parametrize("size", [1, 3, 7])
def test_opened_leaves_what_squares_fit_into(size):
    masks = np.random.default_rng(1).random((2, 40, 50)) < 0.8
    masks[0, 5:20, 0:12] = masks[1, 25:40, 30:50] = True
    expected = binary_opening(masks, np.ones((1, size, size), bool))
    np.testing.assert_array_equal(opened(masks, size), expected)
    assert expected.any(axis=(1, 2)).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"views": 1}, "follow.births.views: expected at least 2, got 1"),
        ({"view_share": 1.5}, "follow.births.view_share: expected a share from 0 to 1, got 1.5"),
        ({"rim": 0.0}, "follow.births.rim: expected more than 0"),
    ],
)
def test_birth_config_refuses_senseless_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        BirthConfig(**settings)
