"""Tracks of a moving and of a resting body, from pictures, against their true motion."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scenes.synthetic import Pattern, SyntheticOptions, SyntheticScene, Texture, box
from warpgs.track import PRESETS, TrackConfig, track
from warpgs.types import Gaussians

TIMESTEPS = 4
CENTERS = np.array([[-0.35, 0.0, 0.5], [0.5, -0.3, 0.2]])
"""Of the moving and of the resting body at the first timestep [m]."""
SHIFT = np.array([0.05, 0.05, 0.03])
"""Of the moving body per timestep [m]."""
TURN = np.radians(8.0) * np.array([0.3, 0.5, np.sqrt(0.66)])
"""The same as a rotation vector [rad]."""
KICK, KICK_TURN = np.array([0.10, -0.12, 0.08]), Rotation.from_rotvec([0.0, 0.3, 0.3])
"""Where a body that is hit goes beside that [m], and how it turns: 24 degrees."""
CHECKER = Texture(Pattern.CHECKER, 0.07, ((0.85, 0.16, 0.10), (0.88, 0.70, 0.12), (0.15, 0.20, 0.55)), seed=11)
MARBLE = Texture(Pattern.MARBLE, 0.06, ((0.10, 0.35, 0.80), (0.80, 0.85, 0.88), (0.85, 0.30, 0.10)), seed=12)
MOVING, RESTING = 0, 1


def world_from_body(hit: bool = False) -> np.ndarray:
    """Poses, shape [t, 2, 4, 4]; the moving body is hit before the last instant."""
    poses = np.tile(np.eye(4), (TIMESTEPS, 2, 1, 1))
    poses[:, :, :3, 3] = CENTERS
    for timestep in range(TIMESTEPS):
        poses[timestep, MOVING, :3, :3] = Rotation.from_rotvec(timestep * TURN).as_matrix()
        poses[timestep, MOVING, :3, 3] += timestep * SHIFT
    if hit:
        poses[-1, MOVING, :3, :3] = KICK_TURN.as_matrix() @ poses[-1, MOVING, :3, :3]
        poses[-1, MOVING, :3, 3] += KICK
    return poses


def config() -> TrackConfig:
    """Preset fast, shortened."""
    fast = PRESETS["fast"]
    return replace(
        fast,
        reconstruct=replace(fast.reconstruct, steps=200),
        follow=replace(
            fast.follow,
            rigid=replace(fast.follow.rigid, clusters=8, steps=30, first_steps=60),
            free=replace(fast.follow.free, steps=30),
        ),
    )


@dataclass(frozen=True)
class Result:
    """States of all timesteps."""

    states: list[Gaussians]
    hit: bool = False

    def rows(self, body: int) -> np.ndarray:
        """Foreground particles of a body; the two are farther apart than they are large."""
        first = self.states[0]
        near = np.linalg.norm(first.means - CENTERS[body], axis=1) < 0.45
        return np.flatnonzero(near & (first.foreground >= 0.5))

    def errors(self, body: int) -> tuple[np.ndarray, np.ndarray]:
        """How far each particle is from where its body carried it [m], and turned from it [deg], shape [t, n] each."""
        poses = world_from_body(self.hit)[:, body]
        rows, first = self.rows(body), self.states[0]
        distances, angles = [], []
        for pose, state in zip(poses, self.states, strict=True):
            motion = pose @ np.linalg.inv(poses[0])
            carried = first.means[rows].astype(np.float64) @ motion[:3, :3].T + motion[:3, 3]
            distances.append(np.linalg.norm(state.means[rows] - carried, axis=1))
            since = Rotation.from_quat(state.rotations_wxyz[rows], scalar_first=True)
            since *= Rotation.from_quat(first.rotations_wxyz[rows], scalar_first=True).inv()
            off = since * Rotation.from_matrix(motion[:3, :3]).inv()
            angles.append(np.degrees(off.magnitude()))
        return np.array(distances), np.array(angles)


def tracked(extents: tuple[float, float, float], config: TrackConfig, *, hit: bool = False) -> Result:
    """Track a moving box of these edges [m], and a resting one."""
    options = SyntheticOptions(
        width=128,
        height=72,
        timesteps=TIMESTEPS,
        train_cameras=8,
        test_cameras=0,
        cloud_background=2500,
        cloud_foreground=1200,
    )
    bodies = [box("box", extents, CHECKER), box("block", (0.3, 0.3, 0.4), MARBLE)]
    scene = SyntheticScene("pair", bodies, world_from_body(hit), options)
    return Result([state.gaussians for state in track(scene, config)], hit)


@pytest.fixture(scope="module")
def result() -> Result:
    return tracked((0.4, 0.35, 0.3), config())


def test_particles_of_a_moving_body_are_carried_with_it(result):
    """23 cm and 24 degrees in three timesteps, seen at 2 cm per pixel."""
    distances, angles = result.errors(MOVING)
    assert len(result.rows(MOVING)) > 200
    for timestep in range(1, TIMESTEPS):
        assert np.median(distances[timestep]) < 0.010
        assert np.percentile(distances[timestep], 95) < 0.020
        assert np.median(angles[timestep]) < 3.0
        assert np.percentile(angles[timestep], 95) < 6.0


def test_particles_of_a_resting_body_rest(result):
    distances, angles = result.errors(RESTING)
    assert len(result.rows(RESTING)) > 200
    assert np.median(distances[1:]) < 0.004 and np.percentile(distances[1:], 95) < 0.012
    assert np.median(angles[1:]) < 1.0 and np.percentile(angles[1:], 95) < 3.0


def test_background_does_not_move_with_the_bodies(result):
    first = result.states[0]
    background = first.foreground < 0.5
    assert background.sum() > 1000
    for state in result.states[1:]:
        np.testing.assert_array_equal(state.means[background], first.means[background])
        np.testing.assert_array_equal(state.rotations_wxyz[background], first.rotations_wxyz[background])


@pytest.mark.parametrize("draws", [0, 256])
def test_a_rod_that_is_hit_is_found_by_the_search(draws):
    """It is three pixels wide and eighteen away, farther than gradients reach."""
    settings = config()
    settings = replace(settings, follow=replace(settings.follow, search=replace(settings.follow.search, draws=draws)))
    distances, _ = tracked((0.6, 0.06, 0.06), settings, hit=True).errors(MOVING)
    median = np.median(distances, axis=1)
    assert median[:-1].max() < 0.01
    assert median[-1] < 0.01 if draws else median[-1] > 0.05
