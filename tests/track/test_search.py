"""Bodies that are not where they are expected are found in pictures of ray-cast meshes."""

from dataclasses import dataclass

import numpy as np
import pytest
import warp as wp
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from scenes.synthetic import SyntheticOptions, perfect_tracks, plain, tumble
from warpgs.neighbors import nearest_neighbors
from warpgs.priors import Rest
from warpgs.reconstruct.objective import Objective
from warpgs.track.config import SearchConfig
from warpgs.track.search import UNLIKE, Search, bodies_of, unlikeness_kernel
from warpgs.track.working import WorkingFrame
from warpgs.types import Gaussians

OPTIONS = SyntheticOptions(
    width=160, height=90, timesteps=1, train_cameras=8, test_cameras=0, cloud_foreground=3000, cloud_noise_m=0.0
)
SHIFT = np.array([0.02, -0.015, 0.02])
"""By how much a body is missed [scene radii]: 9 cm."""
TURN = Rotation.from_rotvec([0.2, 0.1, -0.2])
"""And turned: 17 degrees."""


@dataclass(frozen=True, eq=False)
class Case:
    """Perfect particles of moving bodies in the pictures that they belong to; in the working frame."""

    gaussians: Gaussians
    body: np.ndarray
    rest: Rest
    objective: Objective

    def search(self, background: Gaussians | None = None) -> Search:
        still = self.gaussians.select(np.zeros(0, int)) if background is None else background
        return Search(self.objective, self.gaussians.colors, still, SearchConfig(), 0)

    def displaced(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Poses with one body where it is not."""
        means, rotations = self.gaussians.means.copy(), self.gaussians.rotations_wxyz.copy()
        rows = self.body == number
        center = means[rows].mean(axis=0)
        means[rows] = center + SHIFT + TURN.apply(means[rows] - center)
        turned = TURN * Rotation.from_quat(rotations[rows], scalar_first=True)
        rotations[rows] = turned.as_quat(scalar_first=True)
        return means, rotations

    def improve(self, expected, search: Search | None = None, **changes):
        how = {"last": self.gaussians.means, "masked": True, "timestep": 1}
        return (search or self.search()).improve(
            expected=expected, bodies=bodies_of(self.rest), wide=1.0, **how | changes
        )

    def errors(self, means: np.ndarray) -> np.ndarray:
        """Mean distance of each body's particles from where they belong [scene radii]."""
        distances = np.linalg.norm(means - self.gaussians.means, axis=1)
        return np.bincount(self.body, distances) / np.bincount(self.body)


def case_of(make) -> Case:
    scene = make(OPTIONS)
    working = WorkingFrame.of(scene.cameras("train"))
    inverse = working.world_from_work.inverse()
    tracks = perfect_tracks(scene).at(0)
    moving = tracks.select(tracks.foreground > 0.5)
    truth = scene.ground_truth()
    body = truth.body_index[cKDTree(truth.points[0]).query(moving.means)[1]]
    gaussians = inverse.gaussians(moving)
    means = wp.array(gaussians.means, dtype=wp.vec3, device="cpu")
    rotations = wp.array(np.roll(gaussians.rotations_wxyz, -1, axis=1), dtype=wp.quat, device="cpu")
    neighbors, _ = nearest_neighbors(means, 12)
    objective = Objective((3.0, 1.0), views_per_step=2, device=wp.get_device("cpu"), executor=None)
    objective.load(working.frame_in(scene.frame(0)))
    return Case(gaussians, body, Rest.build(means, rotations, neighbors), objective)


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(tumble)


def test_bodies_are_what_holds_together(case):
    found = bodies_of(case.rest)
    assert [len(rows) for rows in found] == sorted((len(rows) for rows in found), reverse=True)
    large = [rows for rows in found if len(rows) >= 32]
    assert sorted(set(case.body[rows]).pop() for rows in large) == sorted(set(case.body))
    assert all(len(set(case.body[rows])) == 1 for rows in large)


def test_unlikeness_is_that_of_the_nearest_look_alike(case):
    """Against its definition in NumPy, in float64."""
    random = np.random.default_rng(1)
    objective, view, reach = case.objective, 3, 2
    camera, picture = objective.cameras[view], objective.picture(view)
    rows = random.permutation(len(case.body))[:20]
    places = case.gaussians.means[rows] + random.normal(size=(5, 20, 3)) * 0.05
    places[0, :4] += [0.0, 0.0, 3.0]  # out of the picture
    colors = case.gaussians.colors[rows]
    visible = random.random(20) < 0.7
    expected = np.ones((5, 20))
    local = places.astype(np.float32).astype(float) @ camera.camera_from_world[:3, :3].T
    local += camera.camera_from_world[:3, 3]
    for pose, i in np.ndindex(5, 20):
        slope = local[pose, i, :2] / local[pose, i, 2]
        x, y = np.floor(slope * np.diag(camera.intrinsics)[:2] + camera.intrinsics[:2, 2])
        if local[pose, i, 2] > objective.near and 0 <= x < camera.width and 0 <= y < camera.height:
            for dy, dx in np.ndindex(3, 3):
                row = int(np.clip(y + reach * (dy - 1), 0, camera.height - 1))
                column = int(np.clip(x + reach * (dx - 1), 0, camera.width - 1))
                if picture[3, row, column] >= 0.5:
                    square = np.square(colors[i] - picture[:3, row, column]).sum()
                    expected[pose, i] = min(expected[pose, i], square / (3.0 * UNLIKE**2))
    expected[:, ~visible] = 0.0
    assert 0.1 < (expected[:, visible] < 1.0).mean() < 0.9
    pictures, index, _, _, view_index = objective.comparison(view)
    sums = wp.zeros((5, 20), dtype=float, device="cpu")
    inputs = [wp.array(each, dtype=wp.vec3) for each in (places, colors)]
    inputs += [wp.array(visible, dtype=wp.bool), objective.views, view_index, pictures, index, True, reach]
    wp.launch(unlikeness_kernel, sums.shape, inputs, [sums], device="cpu")
    np.testing.assert_allclose(sums.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("masked", [True, False])
def test_a_body_far_from_where_it_is_expected_is_found(case, masked):
    number = int(np.bincount(case.body).argmax())
    expected = case.displaced(number)
    means, rotations = case.improve(expected, masked=masked)
    before, errors = case.errors(expected[0]), case.errors(means)
    assert before[number] > 0.03 and errors[number] < 0.15 * before[number]
    others = np.arange(len(errors)) != number
    assert errors[others].max() < 0.004  # a centimeter
    turned = Rotation.from_quat(rotations, scalar_first=True)
    turned *= Rotation.from_quat(case.gaussians.rotations_wxyz, scalar_first=True).inv()
    assert np.degrees(np.median(turned.magnitude()[case.body == number])) < 5.0


@pytest.mark.parametrize("make", [tumble, plain])
def test_nothing_moves_that_is_where_it_is_expected(make, case):
    """Nor do balls of one color turn for nothing."""
    case = case if make is tumble else case_of(make)
    expected = case.gaussians.means, case.gaussians.rotations_wxyz
    for new, old in zip(case.improve(expected), expected, strict=True):
        np.testing.assert_array_equal(new, old)


def test_what_no_view_sees_stays(case):
    expected = case.displaced(int(case.body[0]))
    far = case.gaussians.means + np.array([0.0, 0.0, 100.0])
    found = case.improve(expected, last=far)
    np.testing.assert_array_equal(found[0], expected[0])


def test_what_background_hides_stays(case):
    """A wall between the body and every camera."""
    expected = case.displaced(int(case.body[0]))
    centers = np.stack([camera.center_world for camera in case.objective.cameras])
    count = len(centers)
    wall = Gaussians(
        (0.7 * centers).astype(np.float32),
        np.tile(np.float32([1.0, 0.0, 0.0, 0.0]), (count, 1)),
        np.full((count, 3), np.log(0.3), np.float32),
        np.zeros((count, 3), np.float32),
        np.full(count, 5.0, np.float32),
        np.zeros(count, np.float32),
    )
    found = case.improve(expected, case.search(wall))
    np.testing.assert_array_equal(found[0], expected[0])


def test_draws_depend_on_the_seed_and_the_timestep_alone(case):
    expected = case.displaced(int(np.bincount(case.body).argmax()))
    means, _ = case.improve(expected)
    np.testing.assert_array_equal(case.improve(expected)[0], means)
    assert not np.array_equal(case.improve(expected, timestep=2)[0], means)
