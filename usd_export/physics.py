"""Bodies, what they collide with, the ground they fall on."""

from __future__ import annotations

import numpy as np
import trimesh
from pxr import Gf, Usd, UsdGeom, UsdPhysics, Vt
from scipy.spatial.transform import Rotation

from usd_export.arrays import usd_array
from usd_export.hull import Hull
from usd_export.stage import ROOT

GRAVITY = 9.81
"""Acceleration [m/s^2]."""

GROUND_SIZE = 20.0
"""Side of the ground as it is drawn [m]; what falls on it finds it endless."""


def make_body(prim: Usd.Prim, hull: Hull, density: float, *, kinematic: bool) -> None:
    """Make a rigid body of a prim, with mass, center of mass and inertia of the hull filled with ``density``
    [kg/m^3]."""
    UsdPhysics.RigidBodyAPI.Apply(prim).CreateKinematicEnabledAttr(kinematic)
    solid = trimesh.Trimesh(hull.vertices.astype(np.float64), hull.triangles, process=False)
    solid.density = density
    moments, axes = np.linalg.eigh(solid.moment_inertia)
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    mass = UsdPhysics.MassAPI.Apply(prim)
    mass.CreateMassAttr(float(solid.mass))
    mass.CreateCenterOfMassAttr(Gf.Vec3f(*solid.center_mass.tolist()))
    mass.CreateDiagonalInertiaAttr(Gf.Vec3f(*moments.tolist()))
    mass.CreatePrincipalAxesAttr(Gf.Quatf(*Rotation.from_matrix(axes).as_quat(scalar_first=True).tolist()))


def set_velocity(prim: Usd.Prim, linear: np.ndarray, angular: np.ndarray) -> None:
    """Give a body whose axes are the world's a velocity: of its center of mass [m/s], and of its turning [rad/s]."""
    body = UsdPhysics.RigidBodyAPI(prim)
    body.CreateVelocityAttr(Gf.Vec3f(*linear.tolist()))
    body.CreateAngularVelocityAttr(Gf.Vec3f(*np.rad2deg(angular).tolist()))  # the schema wants degrees per second


def center_of_mass(prim: Usd.Prim) -> np.ndarray:
    """Of a body, in its own frame [m], shape [3]."""
    return np.array(UsdPhysics.MassAPI(prim).GetCenterOfMassAttr().Get(), np.float64)


def write_collider(stage: Usd.Stage, path: str, hull: Hull) -> None:
    """A convex mesh that is not drawn, and that bodies and robots touch."""
    mesh = UsdGeom.Mesh.Define(stage, path)
    mesh.CreatePurposeAttr(UsdGeom.Tokens.guide)
    mesh.CreatePointsAttr(usd_array(Vt.Vec3fArray, hull.vertices))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray(len(hull.triangles), 3))
    mesh.CreateFaceVertexIndicesAttr(usd_array(Vt.IntArray, hull.triangles.ravel()))
    mesh.CreateNormalsAttr(usd_array(Vt.Vec3fArray, hull.normals))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.uniform)
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    box = np.stack([hull.vertices.min(axis=0), hull.vertices.max(axis=0)])
    mesh.CreateExtentAttr(usd_array(Vt.Vec3fArray, box))
    UsdPhysics.CollisionAPI.Apply(mesh.GetPrim())
    UsdPhysics.MeshCollisionAPI.Apply(mesh.GetPrim()).CreateApproximationAttr(UsdPhysics.Tokens.convexHull)


def write_ground(stage: Usd.Stage, height: float) -> None:
    """A physics scene with gravity, and a horizontal plane to fall on at ``height`` [m]."""
    scene = UsdPhysics.Scene.Define(stage, f"{ROOT}/PhysicsScene")
    scene.CreateGravityDirectionAttr(Gf.Vec3f(0.0, 0.0, -1.0))
    scene.CreateGravityMagnitudeAttr(GRAVITY)
    plane = UsdGeom.Plane.Define(stage, f"{ROOT}/Ground")
    plane.CreateAxisAttr(UsdGeom.Tokens.z)
    plane.CreatePurposeAttr(UsdGeom.Tokens.guide)
    plane.CreateWidthAttr(GROUND_SIZE)
    plane.CreateLengthAttr(GROUND_SIZE)
    half = 0.5 * GROUND_SIZE
    plane.CreateExtentAttr(Vt.Vec3fArray([Gf.Vec3f(-half, -half, 0.0), Gf.Vec3f(half, half, 0.0)]))
    plane.AddTranslateOp().Set(Gf.Vec3d(0.0, 0.0, height))
    UsdPhysics.CollisionAPI.Apply(plane.GetPrim())
