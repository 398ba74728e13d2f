"""The rigid form, read as a stranger would: world transforms times what stands still are the tracks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pxr import Usd, UsdGeom, UsdPhysics, UsdSemantics, UsdValidation, UsdVol
from scipy.spatial import ConvexHull

from tests.usd_export.sample import covariances, make_rigid
from usd_export import UsdOptions, export, export_usd
from usd_export.hull import hull_of
from warpgs.bodies import BACKGROUND, Parts
from warpgs.types import Gaussians, Tracks

VALIDATORS = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()


def opened(tracks: Tracks, path: Path, parts: Parts | None = None, **options: object) -> Usd.Stage:
    stage = Usd.Stage.Open(str(export_usd(tracks, path, parts=parts, options=UsdOptions(**options))))
    assert [error.GetErrorAsString() for error in UsdValidation.ValidationContext(VALIDATORS).Validate(stage)] == []
    return stage


def ids_of(prim: Usd.Prim) -> np.ndarray:
    return np.array(UsdGeom.PrimvarsAPI(prim).GetPrimvar("ids").Get())


def world(prim: Usd.Prim, time: object) -> tuple[np.ndarray, np.ndarray]:
    """Centers, shape [n, 3], and covariances, shape [n, 3, 3], in the world: what a renderer makes of them."""
    matrix = np.array(UsdGeom.XformCache(time).GetLocalToWorldTransform(prim))
    splats = UsdVol.ParticleField3DGaussianSplat(prim)
    wxyz = np.array([[q.GetReal(), *q.GetImaginary()] for q in splats.GetOrientationsAttr().Get(time)])
    local = covariances(wxyz, np.log(np.array(splats.GetScalesAttr().Get())))
    turn = matrix[:3, :3].T
    return np.array(splats.GetPositionsAttr().Get(time), float) @ turn.T + matrix[3, :3], turn @ local @ turn.T


def part_prims(stage: Usd.Stage) -> list[Usd.Prim]:
    return list(stage.GetPrimAtPath("/World/Parts").GetChildren())


def at_default() -> Usd.TimeCode:
    return Usd.TimeCode.Default()


@pytest.mark.parametrize("suffix", ["usda", "usdc", "usdz"])
def test_rigid_puts_every_particle_where_it_was_tracked(tmp_path: Path, suffix: str):
    tracks, parts = make_rigid(birth=4)
    stage = opened(tracks, tmp_path / f"box.{suffix}", parts)
    fields = [prim for prim in stage.Traverse() if prim.IsA(UsdVol.ParticleField3DGaussianSplat)]
    assert sorted(np.concatenate([ids_of(prim) for prim in fields]).tolist()) == list(range(tracks.means.shape[1]))
    for i, time in [(0, at_default()), *enumerate(tracks.timesteps)]:
        for prim in fields:
            ids = ids_of(prim)
            means, spreads = world(prim, time)
            np.testing.assert_allclose(means, tracks.means[i, ids], rtol=0, atol=5e-7)
            expected = covariances(tracks.rotations_wxyz[i, ids], tracks.log_scales[ids])
            np.testing.assert_allclose(spreads, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_rigid_samples_transforms_and_nothing_else_of_parts(tmp_path: Path):
    tracks, parts = make_rigid(birth=4)
    stage = opened(tracks, tmp_path / "box.usdc", parts)
    for prim in stage.Traverse():
        sampled = {a.GetName() for a in prim.GetAttributes() if a.GetNumTimeSamples()}
        assert all(prim.GetAttribute(name).Get(at_default()) is not None for name in sampled)
        if prim.GetName() == "Deformable":
            assert sampled == {"positions", "orientations", "extent"}
        elif prim.GetName() == "part_01":
            assert sampled == {"xformOp:translate", "xformOp:orient", "visibility"}
        else:
            assert sampled == ({"xformOp:translate", "xformOp:orient"} if prim.GetName() == "part_00" else set())


def test_rigid_turns_harmonics_with_the_part(tmp_path: Path):
    tracks, parts = make_rigid()
    stage = opened(tracks, tmp_path / "box.usdc", parts)
    prim = stage.GetPrimAtPath("/World/Parts/part_00")
    matrix = np.array(UsdGeom.Xformable(prim).GetLocalTransformation(at_default()))
    np.testing.assert_array_equal(matrix[:3, :3], np.eye(3))
    splats = UsdVol.ParticleField3DGaussianSplat(prim.GetChild("Splats"))
    coefficients = np.array(splats.GetRadianceSphericalHarmonicsCoefficientsAttr().Get()).reshape(-1, 16, 3)
    np.testing.assert_array_equal(coefficients[:, 1:4], tracks.harmonics[parts.members(0)])


def test_rigid_hides_what_is_born_later(tmp_path: Path):
    tracks, parts = make_rigid(birth=4)
    birth = tracks.birth.copy()
    birth[-3:] = 9  # particles of a part that is there already
    stage = opened(replace(tracks, birth=birth), tmp_path / "box.usdc", parts)
    prim = stage.GetPrimAtPath("/World/Parts/part_01")
    for i, time in [(0, at_default()), *enumerate(tracks.timesteps)]:
        seen = UsdGeom.Imageable(prim.GetChild("Splats")).ComputeVisibility(time)
        assert seen == ("inherited" if i >= 4 else "invisible")
        late = np.array(prim.GetChild("Splats").GetAttribute("opacities").Get(time))[-3:]
        assert (late > 0).all() if i >= 9 else not late.any()
    other = stage.GetPrimAtPath("/World/Parts/part_00")
    assert UsdGeom.Imageable(other).ComputeVisibility(at_default()) == "inherited"


def test_rigid_averages_noise_away_and_ignores_lost_instants(tmp_path: Path):
    clean, parts = make_rigid(steps=30)
    rng = np.random.default_rng(0)
    means = clean.means + rng.normal(scale=0.01, size=clean.means.shape).astype(np.float32)
    lost = rng.random(means.shape[:2]) < 0.15
    means[lost] += 1.0
    tracks, parts = replace(clean, means=means), replace(parts, residual=np.full(parts.residual.shape, 0.017))
    stage = opened(tracks, tmp_path / "box.usdc", parts)
    prim = stage.GetPrimAtPath("/World/Parts/part_00/Splats")
    error = np.linalg.norm(world(prim, clean.timesteps[7])[0] - clean.means[7, ids_of(prim)], axis=1)
    assert np.median(error) < 0.006 and error.max() < 0.02  # of one instant: 0.015, and a meter


def test_rigid_says_what_bodies_are(tmp_path: Path):
    tracks, parts = make_rigid()
    stage = opened(tracks, tmp_path / "box.usdc", parts, density=500.0)
    for index, prim in enumerate(part_prims(stage)):
        body, mass = UsdPhysics.RigidBodyAPI(prim), UsdPhysics.MassAPI(prim)
        assert body.GetKinematicEnabledAttr().Get() is True and prim.GetName() == parts.names[index]
        assert list(UsdSemantics.LabelsAPI(prim, "class").GetLabelsAttr().Get()) == [prim.GetName()]
        mesh = UsdGeom.Mesh(prim.GetChild("Collider"))
        hull = ConvexHull(np.array(mesh.GetPointsAttr().Get(), float))
        assert mass.GetMassAttr().Get() == pytest.approx(500.0 * hull.volume, rel=1e-5)
        a, b, c = np.diagonal(np.diag(mass.GetDiagonalInertiaAttr().Get()))
        assert min(a, b, c) > 0 and a + b > c and b + c > a and a + c > b
    labels = {
        prim.GetName(): UsdSemantics.LabelsAPI(prim, "class") for prim in stage.GetPrimAtPath("/World").GetChildren()
    }
    assert list(labels["Background"].GetLabelsAttr().Get()) == ["background"]


def test_rigid_collider_is_a_closed_convex_mesh_around_the_particles(tmp_path: Path):
    tracks, parts = make_rigid(each=900)
    stage = opened(tracks, tmp_path / "box.usdc", parts)
    for prim in part_prims(stage):
        mesh = UsdGeom.Mesh(prim.GetChild("Collider"))
        assert mesh.GetPurposeAttr().Get() == "guide" and mesh.GetSubdivisionSchemeAttr().Get() == "none"
        assert (
            UsdPhysics.CollisionAPI(mesh)
            and UsdPhysics.MeshCollisionAPI(mesh).GetApproximationAttr().Get() == "convexHull"
        )
        points, normals = np.array(mesh.GetPointsAttr().Get(), float), np.array(mesh.GetNormalsAttr().Get(), float)
        triangles = np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)
        assert len(points) <= 64 and set(triangles.ravel()) == set(range(len(points)))
        a, b, c = (points[triangles[:, k]] for k in range(3))
        outward = np.cross(b - a, c - a)
        np.testing.assert_allclose(outward / np.linalg.norm(outward, axis=1, keepdims=True), normals, atol=1e-4)
        heights = np.einsum("fk,pfk->pf", normals, points[:, None] - a)
        assert heights.max() < 1e-6  # convex, seen from outside
        edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
        splats = UsdVol.ParticleField3DGaussianSplat(prim.GetChild("Splats"))
        centers = np.array(splats.GetPositionsAttr().Get(), float)[np.array(splats.GetOpacitiesAttr().Get()) >= 0.1]
        outside = np.einsum("fk,pfk->pf", normals, centers[:, None] - a).max(axis=1)
        assert outside.max() < 0.01 and (outside > 0).mean() < 0.05


@pytest.mark.parametrize("collider", ["none", "hull"])
def test_rigid_colliders_as_asked(tmp_path: Path, collider: str):
    tracks, parts = make_rigid()
    stage = opened(tracks, tmp_path / "box.usdc", parts, collider=collider)
    assert len([p for p in stage.Traverse() if p.HasAPI(UsdPhysics.CollisionAPI)]) == (2 if collider == "hull" else 0)
    assert not stage.GetPrimAtPath("/World/PhysicsScene")


@pytest.mark.parametrize("start", [None, 3, 9, 15])
def test_dynamic_bodies_have_the_velocity_of_the_tracks(tmp_path: Path, start: int | None):
    tracks, parts = make_rigid(birth=4, spin=0.02)
    i = 0 if start is None else tracks.timesteps.index(start)
    stage = opened(tracks, tmp_path / "box.usdc", parts, dynamic=True, start=start)
    assert not any(a.GetNumTimeSamples() for prim in stage.Traverse() for a in prim.GetAttributes())
    names = [prim.GetName() for prim in part_prims(stage)]
    assert names == (["part_00", "part_01"] if i >= 4 else ["part_00"])
    for prim in part_prims(stage):
        p = parts.names.index(prim.GetName())
        body = UsdPhysics.RigidBodyAPI(prim)
        assert body.GetKinematicEnabledAttr().Get() is False
        splats = prim.GetChild("Splats")
        means, spreads = world(splats, at_default())
        np.testing.assert_allclose(means, tracks.means[i, ids_of(splats)], atol=5e-7)
        expected = covariances(tracks.rotations_wxyz[i, ids_of(splats)], tracks.log_scales[ids_of(splats)])
        np.testing.assert_allclose(spreads, expected, atol=2e-6 * np.abs(expected).max())
        poses = parts.world_from_part[:, p]
        step = poses[11, :3, :3] @ poses[10, :3, :3].T  # bodies turn and fly evenly
        vector = np.array([step[2, 1] - step[1, 2], step[0, 2] - step[2, 0], step[1, 0] - step[0, 1]])
        omega = vector / np.linalg.norm(vector) * np.arccos((np.trace(step) - 1) / 2) * tracks.fps
        np.testing.assert_allclose(np.deg2rad(body.GetAngularVelocityAttr().Get()), omega, rtol=1e-4, atol=1e-4)
        center = np.array(UsdPhysics.MassAPI(prim).GetCenterOfMassAttr().Get(), float)
        linear = (poses[11, :3, 3] - poses[10, :3, 3]) * tracks.fps + np.cross(omega, center)
        np.testing.assert_allclose(body.GetVelocityAttr().Get(), linear, rtol=0, atol=5e-3)


def test_dynamic_comes_with_gravity_and_a_ground_below_all(tmp_path: Path):
    tracks, parts = make_rigid()
    stage = opened(tracks, tmp_path / "box.usdc", parts, dynamic=True)
    scene = UsdPhysics.Scene(stage.GetPrimAtPath("/World/PhysicsScene"))
    assert tuple(scene.GetGravityDirectionAttr().Get()) == (0, 0, -1)
    ground = stage.GetPrimAtPath("/World/Ground")
    height = UsdGeom.XformCache().GetLocalToWorldTransform(ground).ExtractTranslation()[2]
    assert ground.HasAPI(UsdPhysics.CollisionAPI) and UsdGeom.Plane(ground).GetAxisAttr().Get() == "Z"
    bottoms = []
    for i, prim in enumerate(part_prims(stage)):
        points = np.array(UsdGeom.Mesh(prim.GetChild("Collider")).GetPointsAttr().Get())
        bottoms.append(points[:, 2].min() + parts.world_from_part[0, i, 2, 3])
    assert height == pytest.approx(min(bottoms), abs=1e-5)


def test_rigid_reports_a_step_for_each_part_and_timestep(tmp_path: Path):
    tracks, parts = make_rigid()
    seen = []
    export_usd(tracks, tmp_path / "box.usdc", parts=parts, progress=lambda *step: seen.append(step))
    total = len(parts) + len(tracks)
    assert seen[: len(parts) + 1] == [(i, total) for i in range(len(parts) + 1)] and seen[-1] == (total, total)


def test_rigid_half_is_close(tmp_path: Path):
    tracks, parts = make_rigid()
    stage = opened(tracks, tmp_path / "box.usdc", parts, half=True)
    for prim in stage.Traverse():
        if prim.IsA(UsdVol.ParticleField3DGaussianSplat):
            splats, ids = UsdVol.ParticleField3DGaussianSplat(prim), ids_of(prim)
            assert not splats.GetPositionsAttr().HasAuthoredValue() and not splats.GetScalesAttr().HasAuthoredValue()
            matrix = np.array(UsdGeom.XformCache(5.0).GetLocalToWorldTransform(prim))
            means = np.array(splats.GetPositionshAttr().Get(5.0), float) @ matrix[:3, :3] + matrix[3, :3]
            np.testing.assert_allclose(means, tracks.means[2, ids], atol=2e-3)
            low, high = np.array(splats.GetExtentAttr().Get(5.0), float)
            points = np.array(splats.GetPositionshAttr().Get(5.0), float)
            assert (points >= low).all() and (points <= high).all()


def test_rigid_of_one_particle_and_one_timestep(tmp_path: Path):
    tracks, parts = make_rigid(steps=1, bodies=1, each=1)
    stage = opened(tracks, tmp_path / "box.usdc", parts, dynamic=True)
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/World/Parts/part_00/Collider"))
    assert ConvexHull(np.array(mesh.GetPointsAttr().Get(), float)).volume > 0.0


def test_rigid_without_parts_is_background_and_rest(tmp_path: Path):
    tracks, _ = make_rigid()
    all_background = np.full(tracks.means.shape[1], BACKGROUND, np.int32)
    none = Parts(all_background, (), np.zeros((13, 0, 4, 4)), np.zeros((13, 0)), np.zeros(0))
    stage = opened(tracks, tmp_path / "box.usdc", none, dynamic=True)
    assert [prim.GetName() for prim in stage.GetPrimAtPath("/World").GetChildren()] == ["Parts", "Background"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: replace(p, names=("a", "a")), r"parts\.names: expected different names"),
        (lambda p: replace(p, names=("a", "b c")), r"parts\.names: .*'b c'"),
        (lambda p: replace(p, part_index=p.part_index + 1), r"parts\.part_index: expected -2 to 1, got -1 to 2"),
        (lambda p: replace(p, part_index=np.minimum(p.part_index, 0)), "part part_01: expected at least one particle"),
        (lambda p: replace(p, world_from_part=2.0 * p.world_from_part), "expected rigid transforms"),
        (lambda p: replace(p, world_from_part=-p.world_from_part), "expected rigid transforms"),
        (lambda p: replace(p, world_from_part=p.world_from_part[:-1]), "expected shape"),
        (lambda p: replace(p, birth=p.birth + 13), r"parts\.birth: expected instants 0 to 12"),
    ],
)
def test_export_refuses_broken_parts(tmp_path: Path, change, message: str):
    tracks, parts = make_rigid()
    with pytest.raises(ValueError, match=message):
        export(tracks, tmp_path / "box.usdc", parts=change(parts))
    assert not any(tmp_path.iterdir())


def test_export_refuses_what_does_not_go_together(tmp_path: Path):
    tracks, parts = make_rigid()
    for path, given, options, message in (
        ("box.ply", parts, None, "expected USD for parts"),
        ("box.usdc", None, UsdOptions(form="rigid"), "form rigid: expected parts, got none"),
        ("box.usdc", parts, UsdOptions(form="dcc"), "form dcc: expected no parts"),
        ("box.usdc", None, UsdOptions(dynamic=True), "expected the rigid form, got raw"),
        ("box.usdc", parts, UsdOptions(dynamic=True, start=2), "start: expected one of the timesteps 3 to 15, got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            export(tracks, tmp_path / path, parts=given, options=options)
    with pytest.raises(ValueError, match="density"):
        UsdOptions(density=0.0)
    with pytest.raises(ValueError, match="start: expected dynamic bodies"):
        UsdOptions(start=3)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("size, gap, belongs", [(40, 1.0, False), (40, 1e6, False), (40, 0.0, True), (300, 1.0, True)])
def test_hull_leaves_out_small_clumps_off_the_rest(size: int, gap: float, belongs: bool):
    """A sheet of 2000 particles, and a clump whose nearest is ``gap`` [m] beyond its edge."""
    rng = np.random.default_rng(0)
    sheet = rng.uniform(-1.0, 1.0, size=(2000, 3)) * [1.0, 1.0, 0.01]
    clump = np.array([1.05 + gap, 0.0, 0.0]) + rng.uniform(0.0, 0.1, size=(size, 3))
    points = np.concatenate([sheet, clump]).astype(np.float32)
    count = len(points)
    gaussians = Gaussians(
        means=points,
        rotations_wxyz=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        log_scales=np.full((count, 3), -6.0, np.float32),
        colors=np.zeros((count, 3), np.float32),
        opacity_logits=np.full(count, 3.0, np.float32),
        foreground=np.ones(count, np.float32),
    )
    assert (hull_of(gaussians).vertices[:, 0].max() > 1.04) == belongs
