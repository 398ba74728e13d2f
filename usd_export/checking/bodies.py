"""Checks of what a robot touches: colliders and rigid bodies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pxr import Usd, UsdGeom, UsdPhysics

from usd_export.checking.finding import Finding, Subject, fault, warning
from usd_export.reading.field import OPACITIES, POSITIONS, find_fields_under, stage_from_prim

CONVEX = ("convexHull", "convexDecomposition")
"""Approximations that moving bodies can have."""
FLATNESS = 1e-4
"""How far a vertex may stand out of a convex mesh, as a share of its size."""
SLIVER = 1e-6
"""Area of a face, as a share of the square of the mesh's size, below which rounding decides where it faces."""
INSIDE_SHARE = 0.9
"""Of the opacity of a body's particles, how much must have its center inside the colliders."""
INSIDE_MARGIN = 0.05
"""How far outside still counts, as a share of the collider's size: hulls leave out strays."""


def check_colliders(subject: Subject) -> Iterator[Finding]:
    """Colliders are closed and convex where they must be, and hold the particles of their body"""
    for prim in _colliders(subject.prims):
        if prim.IsA(UsdGeom.Mesh):
            yield from _check_mesh(prim)
    for body in subject.bodies:
        yield from _check_contents(body)


def check_bodies(subject: Subject) -> Iterator[Finding]:
    """Rigid bodies have a mass above 0 and a collider; free ones a scene to fall in and no samples to fight with"""
    free = [body for body in subject.bodies if _is_free(body)]
    if free and not any(prim.IsA(UsdPhysics.Scene) for prim in subject.prims):
        yield fault(str(free[0].GetPath()), "a PhysicsScene, as bodies are free", "none", "export with a ground")
    for body in subject.bodies:
        where = str(body.GetPath())
        yield from _check_mass(body, is_free=body in free)
        if not any(_colliders(Usd.PrimRange(body, Usd.TraverseInstanceProxies()))):
            yield warning(where, "a collider under a rigid body", "none", "things will pass through it")
        sampled = [op.GetName() for op in UsdGeom.Xformable(body).GetOrderedXformOps() if op.GetNumTimeSamples() > 1]
        if sampled and body in free:
            got = f"samples of {', '.join(sampled)}"
            yield fault(where, "a free body without animation", got, "make it kinematic, or drop the samples")
        for attribute in (body.GetAttribute("physics:velocity"), body.GetAttribute("physics:angularVelocity")):
            value = attribute.Get()
            if value is not None and not np.isfinite(np.array(value)).all():
                yield fault(str(attribute.GetPath()), "finite numbers", value, "author the velocity again")


def _check_mass(body: Usd.Prim, *, is_free: bool) -> Iterator[Finding]:
    """Of a body: mass or density above 0 where they are authored; 0 means that the engine guesses."""
    mass = UsdPhysics.MassAPI(body)
    values = {name: body.GetAttribute(f"physics:{name}") for name in ("mass", "density")}
    known = {name: each.Get() for name, each in values.items() if each and each.HasAuthoredValue()}
    for name, value in known.items():
        if not (isinstance(value, float) and np.isfinite(value) and value > 0.0):
            yield fault(
                f"{body.GetPath()}.physics:{name}", "a number above 0", value, "density x volume of the collider"
            )
    if not known and is_free:
        yield warning(str(body.GetPath()), "a mass or a density", "none: engines guess", "author physics:mass")
    inertia = mass.GetDiagonalInertiaAttr()
    if inertia and inertia.HasAuthoredValue():
        moments = np.array(inertia.Get(), np.float64)
        if not (moments > 0.0).all() or 2.0 * moments.max() > moments.sum() * (1.0 + 1e-6):
            rule = "moments above 0, none larger than the others together"
            yield fault(str(inertia.GetPath()), rule, moments.tolist(), "compute them from the collider")


def _check_mesh(prim: Usd.Prim) -> Iterator[Finding]:
    """Of a collider that is a mesh."""
    where, mesh = str(prim.GetPath()), UsdGeom.Mesh(prim)
    api = UsdPhysics.MeshCollisionAPI(prim) if prim.HasAPI(UsdPhysics.MeshCollisionAPI) else None
    approximation = "none" if api is None else api.GetApproximationAttr().Get()
    body = _body_of(prim)
    if approximation not in CONVEX and body and _is_free(body):
        yield fault(where, "approximation " + " or ".join(CONVEX), approximation, "engines move only convex meshes")
    attributes = (mesh.GetPointsAttr(), mesh.GetFaceVertexCountsAttr(), mesh.GetFaceVertexIndicesAttr())
    points, counts, indices = (np.array([] if (value := each.Get()) is None else value) for each in attributes)
    if points.shape[1:] != (3,) or points.dtype.kind != "f" or {counts.dtype.kind, indices.dtype.kind} != {"i"}:
        yield fault(where, "points, and counts and indices of faces", "none, or of other types", "write the mesh again")
        return
    if len(points) < 4 or not np.isfinite(points).all():
        yield fault(where, "four or more finite points", len(points), "leave the collider out")
    elif len(indices) != counts.sum() or (indices < 0).any() or (indices >= len(points)).any():
        yield fault(where, "faces of existing points", "other indices", "write the mesh again")
    elif approximation == "convexHull":
        yield from _check_convex(where, mesh)


def _check_convex(where: str, mesh: UsdGeom.Mesh) -> Iterator[Finding]:
    points = np.array(mesh.GetPointsAttr().Get(), np.float64)
    size = float(np.linalg.norm(np.ptp(points, axis=0)))
    normals, offsets = _planes(mesh)
    if not len(normals) or np.linalg.matrix_rank(points - points.mean(axis=0), tol=1e-6 * size) < 3:
        yield fault(where, "a hull with a volume", "a flat one", "give it a thickness")
        return
    heights = points @ normals.T - offsets
    if heights.max() > FLATNESS * size:
        inwards = -heights.min() <= FLATNESS * size
        got = "faces wound inwards" if inwards else f"a vertex {heights.max():.3g} outside of a face"
        yield fault(where, "a convex mesh, as its approximation is convexHull", got, "write the hull itself")


def _check_contents(body: Usd.Prim) -> Iterator[Finding]:
    """Whether the particles of a body are in its colliders, at the default."""
    meshes = [prim for prim in _colliders(Usd.PrimRange(body)) if prim.IsA(UsdGeom.Mesh)]
    meshes = [prim for prim in meshes if not any(_check_mesh(prim))]
    code = Usd.TimeCode.Default()
    inside, weights = [], []
    for field in (field for field in find_fields_under(body) if not field.mistyped()):
        positions, opacities = field.at(POSITIONS, code), field.at(OPACITIES, code)
        if positions is None or opacities is None or len(positions) != len(opacities):
            continue
        matrix = field.stage_from_prim(code)
        points = positions.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
        held = [_holds(prim, points, code) for prim in meshes]
        inside.append(np.any(held, axis=0) if held else np.zeros(len(points), bool))
        weights.append(np.clip(opacities, 0.0, 1.0))
    if not meshes or not inside or not np.concatenate(weights).sum() > 0.0:
        return
    share = float(np.average(np.concatenate(inside), weights=np.concatenate(weights)))
    if share < INSIDE_SHARE:
        rule = f"at least {100 * INSIDE_SHARE:.0f} % of its opacity inside its colliders"
        yield fault(str(body.GetPath()), rule, f"{100 * share:.0f} %", "are collider and particles in one frame?")


def _holds(prim: Usd.Prim, points: np.ndarray, code: Usd.TimeCode) -> np.ndarray:
    """Whether points [n, 3], stage frame, are in or near a convex mesh, shape [n], bool."""
    stage_from_mesh = stage_from_prim(prim, code)
    if not np.isfinite(stage_from_mesh).all():
        return np.zeros(len(points), bool)
    matrix = np.linalg.pinv(stage_from_mesh)  # a transform of scale 0 has no inverse
    local = points @ matrix[:3, :3].T + matrix[:3, 3]
    mesh = UsdGeom.Mesh(prim)
    corners = np.array(mesh.GetPointsAttr().Get(), np.float64)
    normals, offsets = _planes(mesh)
    margin = INSIDE_MARGIN * float(np.linalg.norm(np.ptp(corners, axis=0)))
    return (local @ normals.T - offsets <= margin).all(axis=1)


def _planes(mesh: UsdGeom.Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Outward unit normals [f, 3] and offsets [f] of the faces by their winding, slivers left out."""
    points = np.array(mesh.GetPointsAttr().Get(), np.float64)
    indices = np.array(mesh.GetFaceVertexIndicesAttr().Get())
    flip = -1.0 if mesh.GetOrientationAttr().Get() == UsdGeom.Tokens.leftHanded else 1.0
    normals, offsets, start = [], [], 0
    for count in mesh.GetFaceVertexCountsAttr().Get():
        corners = points[indices[start : start + count]]
        start += count
        area = flip * np.cross(corners, np.roll(corners, -1, axis=0)).sum(axis=0)
        length = np.linalg.norm(area)
        if length > SLIVER * np.square(np.ptp(points, axis=0)).sum():
            normals.append(area / length)
            offsets.append(normals[-1] @ corners.mean(axis=0))
    return np.array(normals).reshape(-1, 3), np.array(offsets)


def _colliders(prims: list[Usd.Prim] | Usd.PrimRange) -> list[Usd.Prim]:
    return [prim for prim in prims if prim.HasAPI(UsdPhysics.CollisionAPI)]


def _body_of(prim: Usd.Prim) -> Usd.Prim | None:
    """The rigid body that a collider belongs to."""
    while prim and not prim.IsPseudoRoot():
        if prim.HasAPI(UsdPhysics.RigidBodyAPI):
            return prim
        prim = prim.GetParent()
    return None


def _is_free(body: Usd.Prim) -> bool:
    """Whether a simulation moves it, rather than the samples."""
    api = UsdPhysics.RigidBodyAPI(body)
    return bool(api.GetRigidBodyEnabledAttr().Get()) and not api.GetKinematicEnabledAttr().Get()
