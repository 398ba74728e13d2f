"""Tracks as perfect tracking would give them."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scenes.synthetic import SyntheticOptions, cloth, perfect_tracks, tumble
from warpgs.render import Renderer
from warpgs.types import Scene

OPTIONS = SyntheticOptions(
    width=96, height=54, timesteps=4, train_cameras=6, test_cameras=1, cloud_noise_m=0.0, cloud_background=20_000
)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return tumble(OPTIONS)


def test_particles_go_with_their_bodies_and_the_rest_stays(scene):
    tracks, truth = perfect_tracks(scene), scene.ground_truth()
    moving = tracks.foreground > 0.5
    assert (tracks.means[:, ~moving] == tracks.means[0, ~moving]).all()
    # A rigid body keeps every particle where it is in the body's frame.
    far = np.full(moving.sum(), np.inf)
    for body in range(len(truth.body_names)):
        back = np.linalg.inv(truth.world_from_body[:, body])
        there = np.einsum("tij,tnj->tni", back[:, :3, :3], tracks.means[:, moving]) + back[:, None, :3, 3]
        far = np.minimum(far, np.linalg.norm(there - there[0], axis=2).max(axis=0))
    assert far.max() < 1e-5
    turns = Rotation.from_quat(tracks.rotations_wxyz[3, moving], scalar_first=True)
    rest = Rotation.from_quat(tracks.rotations_wxyz[0, moving], scalar_first=True)
    bodies = truth.world_from_body[3, :, :3, :3] @ np.swapaxes(truth.world_from_body[0, :, :3, :3], 1, 2)
    angles = np.min([((turns * rest.inv()).inv() * Rotation.from_matrix(b)).magnitude() for b in bodies], axis=0)
    assert angles.max() < 1e-4


def test_pictures_resemble_the_recorded_ones(scene):
    tracks, renderer = perfect_tracks(scene), Renderer("cpu", 1)
    for timestep, other in ((0, 3), (3, 0)):
        frame = scene.frame(timestep, "test")
        picture = renderer.view(tracks.at(timestep), frame.cameras[0])
        body = frame.masks[0] == 255
        now, then = (np.abs(picture.color - scene.frame(t, "test").images[0] / 255.0)[body] for t in (timestep, other))
        assert picture.foreground[body].mean() > 0.95 and now.mean() < 0.55 * then.mean()


def test_what_bends_is_followed_too():
    tracks = perfect_tracks(cloth(OPTIONS))
    moving = tracks.foreground > 0.5
    assert np.ptp(tracks.means[:, moving], axis=0).max() > 0.04 and np.isfinite(tracks.means).all()


def test_scenes_without_a_cloud_are_refused():
    with pytest.raises(ValueError, match="a starting cloud and exact tracks"):
        perfect_tracks(tumble(SyntheticOptions(timesteps=2, has_cloud=False)))
