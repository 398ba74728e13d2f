"""What bodies of a file do when Newton lets them go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import newton
import numpy as np
from scipy.spatial.transform import Rotation

from tests.interop.newton_camera import load

STEP_S = 1.0 / 240.0
ITERATIONS = 10
"""Of the solver, within a step."""
COLLIDERS = (newton.GeoType.CONVEX_MESH, newton.GeoType.MESH)


@dataclass(frozen=True, eq=False)
class Flight:
    """Bodies at every step."""

    names: tuple[str, ...]
    """Paths of their prims, b of them."""
    mass: np.ndarray
    """[kg], shape [b]."""
    poses: np.ndarray
    """Position [m] and rotation x, y, z, w of each body's frame, shape [t, b, 7]."""
    speed: np.ndarray
    """Of each center of mass [m/s], shape [t, b]."""
    lowest: np.ndarray
    """Height of each body's lowest corner above the ground [m], shape [t, b]."""


def simulate(path: Path, seconds: float, ground: float) -> Flight:
    """Let the bodies of a file fly on from its default time; ``ground``: its height [m]."""
    builder = load(path)
    corners: dict[int, list[np.ndarray]] = {}
    for body, kind, source, scale, pose in zip(
        builder.shape_body,
        builder.shape_type,
        builder.shape_source,
        builder.shape_scale,
        builder.shape_transform,
        strict=True,
    ):
        if body >= 0 and kind in COLLIDERS:
            points = np.asarray(source.vertices) * np.asarray(scale)
            corners.setdefault(body, []).append(Rotation.from_quat(pose[3:7]).apply(points) + np.asarray(pose[:3]))
    model = builder.finalize(device="cpu")
    solver = newton.solvers.SolverXPBD(model, iterations=ITERATIONS)
    now, after, control = model.state(), model.state(), model.control()
    newton.eval_fk(model, model.joint_q, model.joint_qd, now)
    pipeline = newton.CollisionPipeline(model)
    contacts = pipeline.contacts()
    poses, speeds, lowest = [], [], []
    for _ in range(round(seconds / STEP_S)):
        now.clear_forces()
        pipeline.collide(now, contacts)
        solver.step(now, after, control, contacts, STEP_S)
        now, after = after, now
        pose = now.body_q.numpy().copy()
        poses.append(pose)
        speeds.append(np.linalg.norm(now.body_qd.numpy()[:, :3], axis=1))
        heights = [
            (Rotation.from_quat(pose[body, 3:]).apply(np.concatenate(corners[body])) + pose[body, :3])[:, 2].min()
            for body in range(model.body_count)
        ]
        lowest.append(np.array(heights) - ground)
    return Flight(
        tuple(builder.body_label), model.body_mass.numpy(), np.array(poses), np.array(speeds), np.array(lowest)
    )
