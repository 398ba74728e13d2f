"""What the comparison of parts with a truth says, where the answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scenes.synthetic import SyntheticOptions, tumble
from tests.benchmarks.parts import adjusted_rand, bodies_of, compare
from tests.perfect_run import write_perfect_run
from warpgs.bodies import fit_parts
from warpgs.run import Run

SMALL = SyntheticOptions(width=64, height=36, timesteps=5, train_cameras=3, test_cameras=0, cloud_background=200)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Perfect tracks, the truth, and parts that are the bodies."""
    scene, path = tumble(SMALL), tmp_path_factory.mktemp("parts") / "run"
    write_perfect_run(path, scene, range(5))
    tracks, truth = Run.open(path).tracks(), scene.ground_truth()
    return tracks, truth, fit_parts(tracks, bodies_of(tracks, truth), truth.body_names)


def test_adjusted_rand_of_known_labellings():
    one = np.array([0, 0, 0, 1, 1, 1])
    assert adjusted_rand(one, 1 - one) == 1.0
    # Two together and one apart in each half: 2 pairs agree, of 6 and 2, where 0.8 are chance.
    assert adjusted_rand(one, np.array([0, 0, 1, 2, 2, 3])) == pytest.approx((2 - 0.8) / (4 - 0.8))


def test_perfect_parts_have_no_error(made):
    tracks, truth, parts = made
    np.testing.assert_array_equal(bodies_of(tracks, truth)[: len(truth.body_index)], truth.body_index)
    rows = list(compare(tracks, parts, truth))
    assert [(row.body, row.part) for row in rows] == [(name, name) for name in truth.body_names]
    assert max(max(*row.center_cm, *row.angle_deg) for row in rows) < 1e-3


def test_errors_of_a_pose_are_told_in_centimetres_and_degrees(made):
    tracks, truth, parts = made
    poses = parts.world_from_part.copy()
    poses[3:, 1, :3, 3] += [0.03, 0.0, 0.04]  # two instants of five: largest, not median
    middle = poses[1:, 2, :3, 3].copy()
    poses[1:, 2, :3, :3] = Rotation.from_euler("x", 7, degrees=True).as_matrix() @ poses[1:, 2, :3, :3]
    np.testing.assert_array_equal(poses[1:, 2, :3, 3], middle)
    rows = list(compare(tracks, replace(parts, world_from_part=poses), truth))
    assert rows[1].center_cm == pytest.approx((0.0, 5.0), abs=1e-3)
    assert rows[2].angle_deg == pytest.approx((7.0, 7.0), abs=1e-2)


def test_body_that_no_part_holds_is_listed(made):
    tracks, truth, parts = made
    lost = np.where(parts.part_index == 0, -2, parts.part_index).astype(np.int32)
    first = next(compare(tracks, replace(parts, part_index=lost), truth))
    assert first.part == "none" and first.particles > 0 and np.isnan(first.center_cm[0])
