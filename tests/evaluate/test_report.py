"""The report of runs whose errors are known, on a small synthetic scene."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from scenes import SyntheticOptions
from scenes.synthetic import tumble
from tests.perfect_run import NoSettings, write_perfect_run
from warpgs.evaluate import evaluate, table
from warpgs.evaluate.images import psnr
from warpgs.evaluate.pictures import corrected, flicker, refined, scaled
from warpgs.evaluate.plots import save_plots
from warpgs.render import Renderer
from warpgs.run import Run

OPTIONS = SyntheticOptions(
    width=96, height=54, timesteps=6, train_cameras=6, test_cameras=2, samples=1, cloud_background=4000
)
TIMESTEPS = range(1, 5)


@pytest.fixture(scope="module")
def scene():
    return tumble(OPTIONS)


@pytest.fixture(scope="module")
def renderer():
    return Renderer(device="cpu", threads=1)


@pytest.fixture(scope="module")
def run(scene, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "perfect"
    write_perfect_run(path, scene, TIMESTEPS)
    return Run.open(path)


@pytest.fixture(scope="module")
def report(run, scene, renderer):
    return evaluate(run, scene, renderer)


def test_evaluate_of_perfect_tracks_finds_no_error(report):
    assert report.timesteps == (1, 2, 3, 4)
    assert report.space.count == len(tumble(OPTIONS).ground_truth().body_index)
    assert report.space.unassigned == 0
    assert report.space.mte_mean < 1e-5 and report.space.mte_median < 1e-5
    assert report.space.delta == 1.0 and report.space.survival == 1.0
    assert report.space.rotation_mean_deg < 0.05


def test_evaluate_of_perfect_tracks_in_pictures_errs_by_the_particles_size_only(report):
    # Queries at silhouettes may be lifted to the body behind, so a few are lost.
    assert report.plane.survival > 0.9
    assert report.plane.mte_median < 1.0


def test_evaluate_compares_each_held_out_camera_and_timestep_once(report, scene):
    names = [camera.name for camera in scene.cameras("test")]
    assert report.held_out
    assert [(p.camera, p.timestep) for p in report.pictures] == [(n, t) for t in TIMESTEPS for n in names]


def test_evaluate_psnr_is_that_of_the_clipped_neutral_picture(report, run, scene, renderer):
    frame = scene.frame(3, "test")
    color = np.clip(renderer.view(run.tracks().at(2), frame.cameras[1]).color, 0, 1)
    expected = psnr(color.astype(np.float64), frame.images[1] / 255.0)
    found = next(p.psnr for p in report.pictures if (p.camera, p.timestep) == (frame.cameras[1].name, 3))
    assert found == pytest.approx(expected, abs=1e-9)


def test_evaluate_reads_times_and_sizes(report, run):
    assert report.seconds == (10.0, 2.0, 2.0, 2.0)
    assert (report.seconds_first, report.seconds_per_timestep) == (10.0, 2.0)
    size = (run.path / "poses" / "000001.npz").stat().st_size
    assert report.bytes == (size,) * 4 and report.bytes_per_timestep == size


def test_evaluate_names_the_lost_body_as_the_worst(scene, renderer, tmp_path):
    truth = scene.ground_truth()
    write_perfect_run(tmp_path / "lost", scene, TIMESTEPS, lost_body=2)
    report = evaluate(Run.open(tmp_path / "lost"), scene, renderer)
    assert report.worst_body == truth.body_names[2]
    moved = np.linalg.norm(truth.points[2:5] - truth.points[1], axis=2)[:, truth.body_index == 2]
    assert report.bodies[truth.body_names[2]].mte_mean == pytest.approx(np.median(moved, axis=0).mean(), rel=1e-3)
    pose = report.body_reports[truth.body_names[2]].pose
    center = truth.points[:, truth.body_index == 2].mean(axis=1)
    np.testing.assert_allclose(pose.center_m, np.linalg.norm(center[2:5] - center[1], axis=1), atol=1e-4)
    others = [body.mte_mean for name, body in report.bodies.items() if name != truth.body_names[2]]
    assert max(others) < 1e-5
    assert report.space.mte_median < 1e-5 < report.space.mte_mean


def test_evaluate_without_held_out_cameras_flags_training_pictures(run, renderer):
    scene = tumble(replace(OPTIONS, test_cameras=0))
    report = evaluate(run, scene, renderer)
    assert not report.held_out
    assert {p.camera for p in report.pictures} == {camera.name for camera in scene.cameras("train")}
    assert "TRAINING" in table(report)
    assert report.plane is None


def test_evaluate_without_masks_measures_no_foreground(run, renderer):
    report = evaluate(run, tumble(replace(OPTIONS, has_masks=False)), renderer)
    assert np.isnan(report.foreground_psnr)
    assert json.loads(report.to_json())["mean"]["foreground_psnr"] is None
    assert "foreground" not in table(report).split("3D tracks")[0]


def test_evaluate_refuses_a_scene_that_is_too_short(run, renderer):
    with pytest.raises(ValueError, match="at least 5 timesteps, got 3"):
        evaluate(run, tumble(replace(OPTIONS, timesteps=3)), renderer)


def test_evaluate_refuses_a_run_without_timesteps(run, scene, renderer, tmp_path):
    for name in ("config.json", "gaussians.npz"):
        (tmp_path / name).write_bytes((run.path / name).read_bytes())
    with pytest.raises(ValueError, match="at least one tracked timestep, got none"):
        evaluate(Run.open(tmp_path), scene, renderer)


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.5, float("nan")])
def test_evaluate_refuses_impossible_scales(run, scene, renderer, scale):
    with pytest.raises(ValueError, match="image_scale"):
        evaluate(run, scene, renderer, image_scale=scale)


def test_scaled_frame_averages_pixels_and_scales_intrinsics(scene):
    frame = scene.frame(0, "test")
    half = scaled(frame, 0.5)
    expected = frame.images[0].reshape(27, 2, 48, 2, 3).mean(axis=(1, 3))
    assert half.images[0].shape == (27, 48, 3)
    assert np.abs(half.images[0] - expected).max() <= 1.0  # rounded once for each axis
    np.testing.assert_allclose(half.cameras[0].intrinsics[:2], frame.cameras[0].intrinsics[:2] / 2)
    assert half.masks[0].shape == (27, 48)


def test_corrected_applies_the_camera_of_that_name_only(run):
    tracks = replace(
        run.tracks(),
        camera_log_gains=np.log(np.arange(1, 19, dtype=np.float32).reshape(6, 3)),
        camera_offsets=np.full((6, 3), 0.25, np.float32),
    )
    color = np.full((2, 2, 3), 0.5, np.float32)
    np.testing.assert_allclose(corrected(color, tracks, tracks.camera_names[1])[0, 0], [2.25, 2.75, 3.25], rtol=1e-6)
    np.testing.assert_array_equal(corrected(color, tracks, "elsewhere"), color)


def test_refined_turns_the_camera_of_that_name_only(run, scene):
    tracks = run.tracks()
    camera = scene.cameras("train", 0)[1]
    assert refined(camera, tracks) is camera
    turn = np.array([0.0, 0.1, 0.0], np.float32)
    turns = np.where(np.arange(len(tracks.camera_names))[:, None] == tracks.camera_names.index(camera.name), turn, 0.0)
    turned = refined(camera, replace(tracks, camera_turns=turns))
    relative = camera.camera_from_world @ turned.world_from_camera
    ahead = [np.sin(0.1), 0.0, np.cos(0.1)]  # to the right
    np.testing.assert_allclose(relative[:3, 2], ahead, atol=1e-6)
    np.testing.assert_allclose(relative[:3, 3], 0.0, atol=1e-6)
    assert refined(replace(camera, name="elsewhere"), replace(tracks, camera_turns=turns)).name == "elsewhere"


def test_json_is_strict_and_names_units(report):
    value = json.loads(report.to_json(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert value["tracks_3d"]["mte_mean_m"] == report.space.mte_mean
    assert value["tracks_2d"]["mte_median_px256"] == report.plane.mte_median
    assert value["mean"]["psnr"] == pytest.approx(np.mean([p["psnr"] for p in value["pictures"]]))
    assert set(value["cameras"]) == {p.camera for p in report.pictures}


def test_json_of_lost_tracks_is_null_not_infinity(report):
    space = replace(report.in_space, overall=replace(report.space, mte_mean=float("inf"), unassigned=1))
    lost = replace(report, in_space=space)
    value = json.loads(lost.to_json())
    assert value["tracks_3d"]["mte_mean_m"] is None and value["tracks_3d"]["unassigned"] == 1
    assert "1 of them beyond 3 sigma" in table(lost) and "inf cm" in table(lost)


def test_table_shows_the_headline_figures(report):
    printed = table(report)
    for label in ("PSNR, held-out cameras", "3D error, mean of medians", "rotation error, median", "3D survival"):
        assert label in printed
    assert f"{report.psnr:.2f} dB" in printed and "2.00 s" in printed


def test_report_of_a_single_instant_has_pictures_but_no_tracks(scene, renderer, tmp_path, recwarn):
    write_perfect_run(tmp_path / "one", scene, range(1))
    report = evaluate(Run.open(tmp_path / "one"), scene, renderer)
    assert np.isfinite(report.psnr) and np.isnan([report.space.mte_mean, report.flicker, report.plane.jaccard]).all()
    value = json.loads(report.to_json())
    assert [entry["tracks_3d"] for entry in value["per_timestep"]] == [{}]
    assert "3D error, mean of medians        not measured" in table(report, per_timestep=True)
    assert not [w for w in recwarn.list if issubclass(w.category, RuntimeWarning)]


def test_report_does_not_depend_on_the_order_of_cameras(report, run, scene, renderer, monkeypatch):
    cameras = scene.cameras("test")
    turned = tumble(OPTIONS)
    monkeypatch.setattr(turned, "_test", cameras[::-1])
    again = evaluate(run, turned, renderer)
    assert again.space.mte_mean == report.space.mte_mean and again.psnr == pytest.approx(report.psnr)
    np.testing.assert_allclose(list(asdict(again.plane).values()), list(asdict(report.plane).values()), rtol=1e-12)


def test_json_has_every_timestep_and_body(report):
    value = json.loads(report.to_json())
    assert [entry["timestep"] for entry in value["per_timestep"]] == [1, 2, 3, 4]
    last = value["per_timestep"][-1]
    assert set(last["bodies"]) == set(value["bodies"]) == set(report.body_reports)
    assert last["tracks_2d"]["jaccard"] == report.in_pictures.over_time[-1].jaccard
    assert last["bytes"] == report.bytes[-1] and last["seconds"] == 2.0
    assert last["pictures"]["flicker"] == pytest.approx(report.picture_mean("flicker", timestep=4))
    assert value["pictures"][0]["flicker"] is None


def test_bodies_are_scored_in_pictures_too(report):
    counts = [body.plane.overall.count for body in report.body_reports.values()]
    assert sum(counts) == report.plane.count


def test_table_has_a_line_for_each_body_and_each_timestep_when_asked(report):
    lines = table(report, per_timestep=True).splitlines()
    assert all(any(line.split()[:1] == [name] for line in lines) for name in report.body_reports)
    assert [line.split()[0] for line in lines[-4:]] == ["1", "2", "3", "4"]
    assert lines[-4].split()[-1] == f"{report.bytes[0] / 1e6:.2f}"
    assert len(table(report).splitlines()) == len(lines) - 6


def test_flicker_is_the_change_of_the_error_over_still_pixels():
    rng = np.random.default_rng(0)
    error, still = rng.normal(size=(6, 5, 3)), rng.random((6, 5)) < 0.5
    assert flicker(error, error, still) == 0.0  # an error that stays is none
    assert flicker(error + 2.0 * still[..., None], error, still) == pytest.approx(2.0)
    assert flicker(error + 9.0 * ~still[..., None], error, still) == 0.0
    assert np.isnan(flicker(error, error, np.zeros((6, 5), bool)))


def test_flicker_of_a_shaking_background_is_seen_on_still_pixels(run, scene, renderer, report, tmp_path):
    tracks = run.tracks()
    still = tracks.foreground < 0.5
    with Run.create(tmp_path / "shaking", scene, NoSettings(), timesteps=TIMESTEPS) as shaking:
        names = list(tracks.camera_names)
        zeros = np.zeros((len(names), 3), np.float32)
        shaking.write_gaussians(tracks.at(0), camera_names=names, camera_log_gains=zeros, camera_offsets=zeros)
        for index, timestep in enumerate(TIMESTEPS):
            means = tracks.means[index].copy()
            means[still] += np.float32(0.01 * (index % 2))
            shaking.write_pose(timestep, means, tracks.rotations_wxyz[index], metrics={})
    assert evaluate(shaking, scene, renderer).flicker > 2.0 * report.flicker


def test_plots_of_a_run_without_truth_show_its_particles(scene, run, renderer, tmp_path, monkeypatch):
    blind = tumble(OPTIONS)
    monkeypatch.setattr(blind, "ground_truth", lambda: None)
    report = evaluate(run, blind, renderer)
    names = [path.name for path in save_plots(report, run.tracks(), blind, tmp_path)]
    assert names == ["pictures.png", "tracks_6.png", "tracks_7.png"]
    picture = np.asarray(Image.open(tmp_path / "tracks_6.png"))
    plain = blind.frame(4, "test").images[0].repeat(10, axis=0).repeat(10, axis=1)
    assert picture.shape == plain.shape and (picture != plain).any()


def test_plots_of_a_single_instant_are_drawn(scene, renderer, tmp_path):
    write_perfect_run(tmp_path / "one", scene, range(1))
    run = Run.open(tmp_path / "one")
    names = [path.name for path in save_plots(evaluate(run, scene, renderer), run.tracks(), scene, tmp_path / "plots")]
    assert names == ["pictures.png", "tracks.png", "tracks_6.png", "tracks_7.png"]
