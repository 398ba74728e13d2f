"""Paths of queried points on a run whose truth is known, their CSV, and what is refused."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scenes import SyntheticOptions
from scenes.synthetic import tumble
from tests.perfect_run import write_perfect_run
from warpgs.evaluate.trajectories import follow_in_picture
from warpgs.query import PixelQuery, PointQuery, find_camera, look, query, read_queries, write_paths
from warpgs.query.geometry import angles_deg, project
from warpgs.run import Run

OPTIONS = SyntheticOptions(
    width=96, height=54, timesteps=6, train_cameras=6, test_cameras=2, samples=1, cloud_background=4000
)
TIMESTEPS = range(1, 5)


@pytest.fixture(scope="module")
def scene():
    return tumble(OPTIONS)


@pytest.fixture(scope="module")
def tracks(scene, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "perfect"
    write_perfect_run(path, scene, TIMESTEPS)
    return Run.open(path).tracks()


def test_paths_of_true_points_are_the_true_paths_from_any_instant(tracks, scene):
    truth = scene.ground_truth()
    queries = [PointQuery(*truth.points[t, i].tolist(), t) for i, t in ((3, 1), (250, 3), (599, 4))]
    paths = query(tracks, queries)
    assert paths.timesteps == (1, 2, 3, 4) and paths.assigned.all() and paths.origin.tolist() == [0, 2, 3]
    assert paths.particle.tolist() == [3, 250, 599] and paths.confidence is None
    np.testing.assert_allclose(paths.time_s, np.arange(1, 5) / 30.0)
    for m, (i, t) in enumerate(((3, 1), (250, 3), (599, 4))):
        np.testing.assert_allclose(paths.positions[:, m], truth.points[1:5, i], atol=1e-6)
        turns = Rotation.from_quat(np.roll(truth.rotations_wxyz[:, i], -1, axis=1))
        since = np.roll((turns[1:5] * turns[t].inv()).as_quat(), 1, axis=1)
        assert angles_deg(paths.rotations_wxyz[:, m], since).max() < 1e-3


def test_point_queries_without_a_timestep_are_of_the_first(tracks):
    assert query(tracks, [PointQuery(0.0, 0.0, 0.5)]).origin.tolist() == [0]


def test_pixels_are_lifted_as_evaluate_does(tracks, scene):
    camera, truth = scene.cameras("test")[0], scene.ground_truth()
    seen = np.stack([scene.visible(t, camera) for t in TIMESTEPS])
    followed = follow_in_picture(tracks, camera, truth, seen)
    paths = query(tracks, [PixelQuery(camera.name, 1, *px) for px in followed.truth_px[0, :20]], scene)
    sights = look(paths, tracks, scene, camera.name)
    np.testing.assert_allclose(sights.points_px, followed.carried_px[:, :20], atol=1e-9)
    np.testing.assert_array_equal(sights.visible, followed.called_visible[:, :20])


def test_paths_pass_through_the_pixels_that_they_were_asked_at(tracks, scene):
    queries = [PixelQuery(camera.name, 3, 48.25, 30.5) for camera in (*scene.cameras("train"), *scene.cameras("test"))]
    paths = query(tracks, queries, scene)
    for m, each in enumerate(queries):
        sights = look(paths, tracks, scene, each.camera)
        np.testing.assert_allclose(sights.points_px[2, m], [48.25, 30.5], atol=1e-9)
        points_px, _ = project(paths.positions[:, m], find_camera(scene, each.camera, 1))
        np.testing.assert_allclose(sights.points_px[:, m], points_px)


def test_queries_do_not_depend_on_each_other(tracks, scene):
    queries = [
        PixelQuery("6", 2, 40, 30),
        PointQuery(0.1, 0.2, 0.3, 4),
        PixelQuery("1", 1, 50, 20),
        PointQuery(0, 0, 1),
    ]
    together = query(tracks, queries, scene)
    for m, each in enumerate(queries):
        alone = query(tracks, [each], scene)
        np.testing.assert_allclose(alone.positions[:, 0], together.positions[:, m], atol=1e-12)
        assert alone.particle[0] == together.particle[m]


def test_far_points_are_unassigned_and_still_answered(tracks):
    paths = query(tracks, [PointQuery(0.0, 0.0, 50.0), PointQuery(*tracks.means[0, 5].tolist())])
    assert paths.assigned.tolist() == [False, True] and np.isfinite(paths.positions).all()


def test_confidence_and_visibility_are_those_of_the_particles(tracks):
    confidence, visibility = np.random.default_rng(0).random((2, *tracks.means.shape[:2]))
    queries = [PointQuery(*tracks.means[0, i].tolist()) for i in (7, 80)]
    paths = query(replace(tracks, confidence=confidence, visibility=visibility), queries)
    np.testing.assert_array_equal(paths.confidence, confidence[:, [7, 80]])
    np.testing.assert_array_equal(paths.visibility, visibility[:, [7, 80]])


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (PixelQuery("6", 1, 96.0, 10.0), r"query 0: expected a pixel of camera 6, x in 0..96 .* got \(96, 10\)"),
        (PixelQuery("6", 1, 5.0, -0.1), r"query 0: expected a pixel of camera 6"),
        (PixelQuery("6", 1, float("nan"), 5.0), r"query 0: expected a pixel of camera 6"),
        (PixelQuery("moon", 1, 5.0, 5.0), r"camera: expected one of 0 1 2 3 4 5 6 7, got 'moon'"),
        (PixelQuery("6", 0, 5.0, 5.0), r"query 0: expected a timestep of the run, 1 to 4, got 0"),
        (PointQuery(0, 0, 0, 5), r"query 0: expected a timestep of the run, 1 to 4, got 5"),
        (PointQuery(0, float("inf"), 0), r"query 0: position: expected finite numbers"),
    ],
    ids=str,
)
def test_queries_that_make_no_sense_are_refused(tracks, scene, asked, sentence):
    with pytest.raises(ValueError, match=sentence):
        query(tracks, [asked], scene)


def test_pixels_that_show_nothing_are_refused(tracks, scene):
    camera = scene.cameras("test")[0]
    points_px, _ = project(tracks.means[0, 0].astype(float), camera)
    x, y = (5.0 if value > size / 2 else size - 5.0 for value, size in zip(points_px, (96, 54), strict=True))
    lonely = type(tracks)(**{name: _first_particle(name, value) for name, value in vars(tracks).items()})
    with pytest.raises(ValueError, match="query 0: expected a pixel that shows a particle, got none at"):
        query(lonely, [PixelQuery(camera.name, 1, x, y)], scene)


def _first_particle(name: str, value):
    if name in ("means", "rotations_wxyz"):
        return value[:, :1]
    return value[:1] if name in ("log_scales", "colors", "opacity_logits", "foreground") else value


def test_single_instant_is_answered(scene, tmp_path):
    write_perfect_run(tmp_path / "one", scene, range(1))
    paths = query(Run.open(tmp_path / "one").tracks(), [PointQuery(0, 0, 0.5)], scene)
    assert paths.positions.shape == (1, 1, 3)
    np.testing.assert_allclose(paths.rotations_wxyz[0, 0], [1, 0, 0, 0], atol=1e-6)


def rows_of(paths, sights) -> list[dict[str, str]]:
    file = io.StringIO()
    write_paths(file, paths, sights)
    return list(csv.DictReader(io.StringIO(file.getvalue())))


def test_csv_has_a_row_for_each_query_instant_and_camera(tracks, scene):
    paths = query(tracks, [PixelQuery("6", 1, 40, 30), PointQuery(0, 0, 9, 2)], scene)
    rows = rows_of(paths, {name: look(paths, tracks, scene, name) for name in ("6", "0")})
    assert [(r["query"], r["timestep"], r["camera"]) for r in rows] == [
        (q, t, c) for q in "01" for t in "1234" for c in "60"
    ]
    assert {r["assigned"] for r in rows if r["query"] == "1"} == {"0"}
    first = rows[0]
    assert (float(first["x_px"]), float(first["y_px"])) == (40.0, 30.0)
    np.testing.assert_allclose([float(first[k]) for k in "xyz"], paths.positions[0, 0], atol=1e-6)
    assert "confidence" not in first


def test_csv_without_cameras_has_poses_alone_and_confidence_where_known(tracks):
    shares = {
        name: np.full(tracks.means.shape[:2], share) for name, share in (("confidence", 0.25), ("visibility", 1.0))
    }
    paths = query(replace(tracks, **shares), [PointQuery(0, 0, 0.5)])
    rows = rows_of(paths, {})
    assert (
        len(rows) == 4
        and "camera" not in rows[0]
        and (rows[0]["confidence"], rows[0]["visibility"]) == ("0.2500", "1.0000")
    )


def test_queries_are_read_from_csv(tmp_path):
    path = tmp_path / "queries.csv"
    path.write_text("camera,timestep,x,y,z\n6,2,1.5,2.5,\n,,1,2,3\n,4,1,2,3\n")
    assert read_queries(path) == [PixelQuery("6", 2, 1.5, 2.5), PointQuery(1, 2, 3), PointQuery(1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected columns camera,timestep,x,y or x,y,z in the first line, got none"),
        ("x,y\n1,2\n", "in the first line, got x,y"),
        ("x,y,z\n1,two,3\n", "line 2: y: expected a number, got 'two'"),
        ("camera,timestep,x,y\n6,1.5,2,3\n", "line 2: timestep: expected a whole number, got '1.5'"),
        ("x,y,z\n1,2\n", "line 2: z: expected a number, got None"),
    ],
)
def test_broken_csv_is_refused_naming_the_line(tmp_path, text, sentence):
    path = tmp_path / "queries.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_queries(path)
