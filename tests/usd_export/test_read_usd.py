"""USD of others: any stage with fields of Gaussians becomes tracks in our world, values checked in float64."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, Sdf, Usd, UsdGeom, UsdVol, Vt
from scipy.spatial.transform import Rotation

from tests.reference.rasterize import harmonics as reference_harmonics
from tests.usd_export.sample import SH_C0, covariances, make_similarity
from tests.usd_export.stages import HARMONICS, make_field, make_stage, place, put
from usd_export import read_tracks
from warpgs.types import Tracks

Z_FROM_Y = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def read(stage: Usd.Stage, folder: Path) -> Tracks:
    path = folder / "box.usda"
    stage.Export(str(path))
    return read_tracks(path)


def stored(splats: UsdVol.ParticleField3DGaussianSplat, name: str, time: float | None = None) -> np.ndarray:
    code = Usd.TimeCode.Default() if time is None else Usd.TimeCode(time)
    return np.array(splats.GetPrim().GetAttribute(name).Get(code)).astype(np.float64)


def stored_covariances(splats: UsdVol.ParticleField3DGaussianSplat) -> np.ndarray:
    rotations = Rotation.from_quat(stored(splats, "orientations")).as_matrix()
    stretched = rotations * stored(splats, "scales")[:, None, :]
    return stretched @ np.swapaxes(stretched, 1, 2)


def check_ellipsoids(tracks: Tracks, instant: int, matrix: np.ndarray, splats: UsdVol.ParticleField3DGaussianSplat):
    """``matrix`` takes the prim's frame to our world; tracks hold nothing else."""
    points = stored(splats, "positions") @ matrix[:3, :3].T + matrix[:3, 3]
    np.testing.assert_allclose(tracks.means[instant], points, rtol=1e-5, atol=1e-5)
    expected = matrix[:3, :3] @ stored_covariances(splats) @ matrix[:3, :3].T
    got = covariances(tracks.rotations_wxyz[instant], tracks.log_scales)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_still_field_is_one_instant(tmp_path: Path):
    stage = make_stage()
    splats = make_field(stage)
    stage.SetStartTimeCode(7)
    stage.SetTimeCodesPerSecond(25)
    tracks = read(stage, tmp_path)
    np.testing.assert_array_equal(tracks.means[0], stored(splats, "positions"))
    np.testing.assert_allclose(tracks.rotations_wxyz[0], stored(splats, "orientations")[:, [3, 0, 1, 2]], atol=1e-6)
    np.testing.assert_allclose(np.exp(tracks.log_scales), stored(splats, "scales"), rtol=1e-6)
    np.testing.assert_allclose(tracks.colors, 0.5 + SH_C0 * stored(splats, HARMONICS), atol=1e-6)
    np.testing.assert_allclose(1 / (1 + np.exp(-tracks.opacity_logits)), stored(splats, "opacities"), rtol=1e-5)
    assert (tracks.timesteps, tracks.fps, len(tracks)) == ((7,), 25.0, 1)
    assert not tracks.foreground.any() and not tracks.birth.any() and tracks.harmonics is None


@pytest.mark.parametrize("up", ["Y", "Z"])
@pytest.mark.parametrize("unit_m", [1.0, 0.01, 2.5])
def test_axes_and_units_become_ours(tmp_path: Path, up: str, unit_m: float):
    stage = make_stage(up=up, meters_per_unit=unit_m)
    splats = make_field(stage)
    tracks = read(stage, tmp_path)
    matrix = np.eye(4)
    matrix[:3, :3] = unit_m * (Z_FROM_Y if up == "Y" else np.eye(3))
    check_ellipsoids(tracks, 0, matrix, splats)
    np.testing.assert_allclose(tracks.source_from_world @ matrix, np.eye(4), atol=1e-12)


def test_stage_that_says_no_unit_is_in_centimetres_and_y_up(tmp_path: Path):
    stage = Usd.Stage.CreateInMemory()
    splats = make_field(stage, "/Splats")
    tracks = read(stage, tmp_path)
    np.testing.assert_allclose(tracks.means[0], 0.01 * stored(splats, "positions") @ Z_FROM_Y.T, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_transforms_of_all_parents_are_applied_at_every_instant(tmp_path: Path, seed: int):
    """A rigid body: the particles do not change, the frames above them do."""
    stage = make_stage(up="Y", meters_per_unit=0.1)
    outer, scaled = make_similarity(seed), make_similarity(seed + 10)
    poses = [
        outer @ np.block([[Rotation.random(random_state=i).as_matrix(), np.ones((3, 1)) * i], [0, 0, 0, 1]])
        for i in range(4)
    ]
    for i, pose in enumerate(poses):
        place(UsdGeom.Xform.Get(stage, "/World"), pose, 3.0 + 2.0 * i)
    place(UsdGeom.Xform.Define(stage, "/World/Part"), scaled)
    splats = make_field(stage, "/World/Part/Splats")
    tracks = read(stage, tmp_path)
    assert tracks.timesteps == (3, 5, 7, 9) and (tracks.foreground == 1.0).all()
    world = np.eye(4)
    world[:3, :3] = 0.1 * Z_FROM_Y
    for i, pose in enumerate(poses):
        check_ellipsoids(tracks, i, world @ pose @ scaled, splats)


def test_translate_and_orient_of_a_body_move_it(tmp_path: Path):
    """As a simulator writes bodies; quaternions of the constructor are w, x, y, z."""
    stage = make_stage()
    part = UsdGeom.Xform.Define(stage, "/World/Part")
    translate, orient = part.AddTranslateOp(), part.AddOrientOp()
    turns = Rotation.from_rotvec(np.array([[0, 0, 0], [0, 0, 90], [0, 0, 180]]), degrees=True)
    for i, turn in enumerate(turns):
        translate.Set(Gf.Vec3d(i, 0, 0), i)
        x, y, z, w = turn.as_quat()
        orient.Set(Gf.Quatf(w, x, y, z), i)
    splats = make_field(stage, "/World/Part/Splats")
    tracks = read(stage, tmp_path)
    for i, turn in enumerate(turns):
        check_ellipsoids(tracks, i, np.block([[turn.as_matrix(), np.array([[i], [0], [0]])], [0, 0, 0, 1]]), splats)


def test_samples_of_several_fields_are_joined_and_held_or_interpolated(tmp_path: Path):
    stage = make_stage()
    one, two = make_field(stage, "/World/One", 3), make_field(stage, "/World/Two", 2, seed=8)
    still = make_field(stage, "/World/Still", 4, seed=9)
    for time in (0.0, 2.0):
        put(one.GetPrim(), "positions", "point3", np.full((3, 3), time), time)
    for time in (1.0, 4.0):
        put(two.GetPrim(), "positions", "point3", np.full((2, 3), 10 * time), time)
    tracks = read(stage, tmp_path)
    assert tracks.timesteps == (0, 1, 2, 4)
    np.testing.assert_allclose(tracks.means[:, 0, 0], [0, 1, 2, 2])
    np.testing.assert_allclose(tracks.means[:, 3, 0], [10, 10, 20, 40])
    np.testing.assert_allclose(tracks.means[:, 5:], np.tile(stored(still, "positions"), (4, 1, 1)))
    np.testing.assert_array_equal(tracks.foreground, [1, 1, 1, 1, 1, 0, 0, 0, 0])


def test_half_precision_is_read_where_it_alone_is_authored(tmp_path: Path):
    stage = make_stage()
    splats = make_field(stage, degree=1, half=True)
    tracks = read(stage, tmp_path)
    np.testing.assert_array_equal(tracks.means[0], stored(splats, "positionsh"))
    np.testing.assert_allclose(np.exp(tracks.log_scales), stored(splats, "scalesh"), rtol=1e-6)
    lengths = np.linalg.norm(stored(splats, "orientationsh"), axis=1, keepdims=True)
    expected = (stored(splats, "orientationsh") / lengths)[:, [3, 0, 1, 2]]
    np.testing.assert_allclose(tracks.rotations_wxyz[0], expected, atol=1e-6)
    np.testing.assert_array_equal(tracks.harmonics, stored(splats, HARMONICS + "h").reshape(20, 4, 3)[:, 1:])
    full = np.random.default_rng(0).normal(size=(20, 3))
    put(splats.GetPrim(), "positions", "point3", full)
    np.testing.assert_allclose(read(stage, tmp_path).means[0], full, atol=1e-6)


# Colors


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_radiance_is_the_same_from_everywhere_in_the_world(tmp_path: Path, degree: int):
    """The radiance of a turned field along d is that of the field along d turned back."""
    stage = make_stage(up="Y")
    turn = Rotation.random(random_state=degree).as_matrix()
    place(UsdGeom.Xform.Get(stage, "/World"), np.block([[2.0 * turn, np.ones((3, 1))], [0, 0, 0, 1]]))
    splats = make_field(stage, degree=degree)
    tracks = read(stage, tmp_path)
    directions = np.random.default_rng(1).normal(size=(50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    coefficients = stored(splats, HARMONICS).reshape(20, -1, 3)
    count = coefficients.shape[1] - 1
    local = reference_harmonics(directions @ Z_FROM_Y @ turn, count)
    expected = 0.5 + SH_C0 * coefficients[:, 0] + np.einsum("dk,nkc->dnc", local, coefficients[:, 1:])
    got = np.tile(tracks.colors.astype(np.float64), (50, 1, 1))
    if degree:
        got += np.einsum("dk,nkc->dnc", reference_harmonics(directions, count), tracks.harmonics)
    np.testing.assert_allclose(got, expected, atol=2e-6)


def test_fields_of_different_degrees_are_padded_with_zeros(tmp_path: Path):
    stage = make_stage()
    make_field(stage, "/World/Plain", 2, degree=0)
    rich = make_field(stage, "/World/Rich", 3, degree=2)
    poor = make_field(stage, "/World/Poor", 4, degree=1, seed=5)
    tracks = read(stage, tmp_path)
    assert tracks.harmonics.shape == (9, 8, 3) and not tracks.harmonics[:2].any() and not tracks.harmonics[5:, 3:].any()
    np.testing.assert_array_equal(tracks.harmonics[2:5], stored(rich, HARMONICS).reshape(3, 9, 3)[:, 1:])
    np.testing.assert_array_equal(tracks.harmonics[5:, :3], stored(poor, HARMONICS).reshape(4, 4, 3)[:, 1:])


def test_coefficients_beyond_the_degree_are_left_and_missing_ones_refused(tmp_path: Path):
    stage = make_stage()
    splats = make_field(stage, degree=3)
    splats.GetRadianceSphericalHarmonicsDegreeAttr().Set(0)
    assert read(stage, tmp_path).harmonics is None
    splats = make_field(stage, degree=0)
    splats.GetPrim().RemoveProperty("radiance:sphericalHarmonicsDegree")  # falls back to 3
    with pytest.raises(
        ValueError, match=r"16 coefficients for each of 20 particles \(degree 3\), got 20; warpgs check"
    ):
        read(stage, tmp_path)


def test_field_without_colors_and_orientations_is_gray_and_upright(tmp_path: Path):
    stage = make_stage()
    splats = make_field(stage)
    for name in (HARMONICS, "orientations", "opacities"):
        splats.GetPrim().RemoveProperty(name)
    tracks = read(stage, tmp_path)
    assert (tracks.colors == 0.5).all() and (tracks.rotations_wxyz == [1, 0, 0, 0]).all()
    assert (tracks.opacity_logits == 40.0).all()


# Who, when


def ids(splats: UsdVol.ParticleField3DGaussianSplat, values: list[int]) -> None:
    primvars = UsdGeom.PrimvarsAPI(splats)
    primvars.CreatePrimvar("ids", Sdf.ValueTypeNames.IntArray, UsdGeom.Tokens.vertex).Set(Vt.IntArray(values))


def test_particles_are_in_the_order_of_their_ids_where_all_have_one(tmp_path: Path):
    stage = make_stage()
    one, two = make_field(stage, "/World/One", 3), make_field(stage, "/World/Two", 2, seed=8)
    ids(one, [4, 0, 9])
    in_stage_order = np.concatenate([stored(one, "positions"), stored(two, "positions")])
    np.testing.assert_allclose(read(stage, tmp_path).means[0], in_stage_order, rtol=1e-6)
    ids(two, [2, 0])  # 0 twice
    np.testing.assert_allclose(read(stage, tmp_path).means[0], in_stage_order, rtol=1e-6)
    ids(two, [2, 1])
    np.testing.assert_allclose(read(stage, tmp_path).means[0], in_stage_order[[1, 4, 3, 0, 2]], rtol=1e-6)


def test_opacity_0_before_a_sample_is_a_birth_and_births_never_fall(tmp_path: Path):
    stage = make_stage()
    splats = make_field(stage, count=4)
    ids(splats, [0, 1, 2, 3])
    shown = np.array([[0, 0.5, 0, 0.7], [0.3, 0.5, 0, 0.7], [0.3, 0.5, 0.9, 0.7]])
    for time in range(3):
        put(splats.GetPrim(), "opacities", "float", shown[time], time)
        put(splats.GetPrim(), "positions", "point3", np.full((4, 3), time) + np.arange(4)[:, None] * 10, time)
    tracks = read(stage, tmp_path)
    np.testing.assert_array_equal(tracks.birth, [0, 0, 1, 2])  # the born first, then by id
    np.testing.assert_allclose(1 / (1 + np.exp(-tracks.opacity_logits)), [0.5, 0.7, 0.3, 0.9], rtol=1e-6)
    np.testing.assert_array_equal(tracks.means[:, :, 0], [[10, 30, 1, 22], [11, 31, 1, 22], [12, 32, 2, 22]])


def test_bodies_that_become_visible_are_born_and_instants_of_nothing_left_out(tmp_path: Path):
    stage = make_stage()
    for name, first in (("Early", 2), ("Late", 4)):
        part = UsdGeom.Xform.Define(stage, f"/World/{name}")
        make_field(stage, f"/World/{name}/Splats", 2, seed=first)
        for time in range(6):
            place(part, np.block([[np.eye(3), np.full((3, 1), time)], [0, 0, 0, 1]]), time)
        part.GetVisibilityAttr().Set("invisible", 0)
        part.GetVisibilityAttr().Set("inherited", first)
    hidden = make_field(stage, "/World/Hidden", 5)
    UsdGeom.Imageable(hidden).MakeInvisible()
    guide = make_field(stage, "/World/Guide", 5)
    UsdGeom.Imageable(guide).CreatePurposeAttr("guide")
    tracks = read(stage, tmp_path)
    assert tracks.timesteps == (2, 3, 4, 5)
    np.testing.assert_array_equal(tracks.birth, [0, 0, 2, 2])
    np.testing.assert_array_equal(tracks.means[0, 2:], tracks.means[2, 2:])
    np.testing.assert_allclose(tracks.means[1, 0] - tracks.means[0, 0], 1.0, rtol=1e-6)


def test_opacities_that_fade_are_read_as_their_largest_and_said_so(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    stage = make_stage()
    splats = make_field(stage, count=2)
    for time, opacity in enumerate((0.2, 0.8, 0.4)):
        put(splats.GetPrim(), "opacities", "float", np.array([opacity, 0.5]), time)
    with caplog.at_level(logging.WARNING):
        tracks = read(stage, tmp_path)
    np.testing.assert_allclose(1 / (1 + np.exp(-tracks.opacity_logits)), [0.8, 0.5], rtol=1e-6)
    assert "/World/Splats: opacities that change or end" in caplog.text


@pytest.mark.parametrize(
    ("times", "timesteps", "fps"),
    [
        ([0, 1, 2], (0, 1, 2), 24.0),
        ([-3, -1, 5], (0, 2, 8), 24.0),
        ([0, 0.5, 2], (0, 1, 4), 48.0),
        ([0.0, 0.0333, 0.0667, 0.1], (0, 1, 2, 3), 720.0),
        ([1.25, 2.5], (5, 10), 96.0),
    ],
)
def test_times_are_whole_steps_of_a_common_part_of_a_time_code(tmp_path: Path, times, timesteps, fps):
    stage = make_stage()
    splats = make_field(stage, count=2)
    for time in times:
        put(splats.GetPrim(), "positions", "point3", np.full((2, 3), time), time)
    tracks = read(stage, tmp_path)
    assert (tracks.timesteps, tracks.fps) == (timesteps, fps)
    np.testing.assert_allclose(tracks.means[:, 0, 0], times, rtol=1e-6)


def test_instances_of_one_field_are_all_read(tmp_path: Path):
    stage = make_stage()
    splats = make_field(stage, "/Prototype/Splats", 3)
    UsdGeom.Xform.Define(stage, "/Prototype").GetPrim().SetSpecifier(Sdf.SpecifierClass)
    for i in range(2):
        xform = UsdGeom.Xform.Define(stage, f"/World/I{i}")
        xform.GetPrim().GetReferences().AddInternalReference("/Prototype")
        xform.GetPrim().SetInstanceable(True)
        place(xform, np.block([[np.eye(3), np.full((3, 1), i)], [0, 0, 0, 1]]))
    tracks = read(stage, tmp_path)
    np.testing.assert_allclose(tracks.means[0, 3:] - tracks.means[0, :3], 1.0, rtol=1e-6)
    assert tracks.means.shape == (1, 6, 3) and splats


# What is refused


def shear(splats: UsdVol.ParticleField3DGaussianSplat) -> None:
    place(UsdGeom.Xformable(splats), np.array([[1.0, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))


def mirror(splats: UsdVol.ParticleField3DGaussianSplat) -> None:
    place(UsdGeom.Xformable(splats), np.diag([1.0, 1, -1, 1]))


def grow(splats: UsdVol.ParticleField3DGaussianSplat) -> None:
    for time in range(3):
        place(UsdGeom.Xformable(splats), np.diag([1.0 + time, 1 + time, 1 + time, 1]), time)


def change_count(splats: UsdVol.ParticleField3DGaussianSplat) -> None:
    put(splats.GetPrim(), "positions", "point3", np.zeros((20, 3)), 0)
    put(splats.GetPrim(), "positions", "point3", np.zeros((19, 3)), 1)


def irregular(splats: UsdVol.ParticleField3DGaussianSplat) -> None:
    for time in (0.0, 0.123456, 0.31416, 2.71828):
        put(splats.GetPrim(), "positions", "point3", np.zeros((20, 3)), time)


def replace(name: str, kind: str, value: np.ndarray):
    return lambda splats: put(splats.GetPrim(), name, kind, value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (shear, "/World/Splats: transform: expected a similarity that does not mirror"),
        (mirror, "/World/Splats: transform: expected a similarity that does not mirror"),
        (grow, "expected a transform of constant scale, got 1 at first, 2 at 1"),
        (change_count, r"/World/Splats\.positions: expected 20 values, as many as particles, got 19"),
        (irregular, "expected time samples at multiples of one of 1, 1/2"),
        (lambda splats: splats.GetPrim().RemoveProperty("scales"), r"\.scales: expected 20 values, .* got none"),
        (
            replace("scales", "float3", np.full((20, 3), -3.0)),
            "scales: expected numbers above 0, got -3 .60 of 60.; they may",
        ),
        (replace("opacities", "float", np.full(20, 4.0)), "opacities: expected numbers from 0 to 1, got 4"),
        (replace("opacities", "float", np.full(20, np.nan)), "opacities: expected numbers from 0 to 1, got nan"),
        (replace("positions", "point3", np.full((20, 3), np.inf)), "means: expected finite numbers"),
        (replace("orientations", "quat", np.zeros((20, 4))), "expected quaternions of a length"),
        (replace("orientations", "quat", np.ones((3, 4))), "orientations: expected 20 values"),
        (replace("positions", "point3", np.zeros((0, 3))), "expected at least one visible UsdVol"),
        (lambda splats: UsdGeom.Imageable(splats).MakeInvisible(), "expected at least one visible UsdVol"),
        (lambda splats: ids(splats, [1, 2]), "primvars:ids: expected 20 values"),
    ],
)
def test_what_tracks_cannot_hold_is_refused_naming_the_prim(tmp_path: Path, change, sentence: str):
    stage = make_stage()
    change(make_field(stage))
    with pytest.raises((ValueError, NotImplementedError), match=r"box\.usda: .*" + sentence):
        read(stage, tmp_path)


def test_stage_of_other_prims_is_refused(tmp_path: Path):
    stage = make_stage()
    UsdGeom.Points.Define(stage, "/World/Points").CreatePointsAttr([(0, 0, 0)])
    with pytest.raises(ValueError, match=r"at least one visible UsdVol\.ParticleField3DGaussianSplat"):
        read(stage, tmp_path)
