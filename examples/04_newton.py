"""From videos to a simulator: track bodies, export them as rigid bodies that are free, let Newton drop them, and look.

Newton reads the splats, the colliders and the masks from one USD file. It needs the extra: pip install 'warpgs[newton]'

    python examples/04_newton.py --output newton.png
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import tyro
import warp as wp
from scipy.spatial.transform import Rotation

from scenes import open_scene
from usd_export import UsdOptions, export_usd
from warpgs.bodies import find_parts
from warpgs.run import Run
from warpgs.track import PRESETS, TrackConfig, track
from warpgs.types import Camera, Tracks
from warpgs.view import save_picture, strip

try:
    import newton
    from newton.sensors import SensorCamera
except ImportError:
    newton = None

STEP_S = 1.0 / 240.0
OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0])


def follow(folder: Path, timesteps: int, config: TrackConfig) -> tuple[Tracks, Camera]:
    """Tracks of the first timesteps of a built-in scene, and one of its cameras."""
    scene = open_scene("tumble")
    with Run.create(folder / "run", scene, config, timesteps=range(timesteps)) as run:
        for state in track(scene, config, run=run, timesteps=range(timesteps)):
            print(f"timestep {state.timestep}: {state.psnr:.1f} dB")
    return run.tracks(), scene.cameras("train", 0)[0]


def photograph(model, state, camera: Camera) -> np.ndarray:
    """What Newton's camera sees: RGB 0..255, shape [height, width, 3]."""
    columns, rows = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    directions = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(camera.intrinsics).T
    directions = directions @ OPENGL_FROM_OPENCV  # its cameras look down -z
    rays = np.zeros((camera.height, camera.width, 1, 2, 3), np.float32)
    rays[:, :, 0, 1] = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    turn = Rotation.from_matrix(camera.world_from_camera[:3, :3] @ OPENGL_FROM_OPENCV)
    pose = wp.array([wp.transform(camera.center_world, turn.as_quat())], dtype=wp.transformf)
    model.bvh_refit_shapes(state)  # what rays look for moves with the bodies
    sensor = SensorCamera(model)
    color = sensor.allocate_image_color(1, camera.width, camera.height)
    settings = SensorCamera.RenderConfig(gaussians_mode=SensorCamera.GaussianRenderMode.QUALITY)
    sensor.update(state, pose, wp.array(rays, dtype=wp.vec3f), color_image=color, render_config=settings)
    return SensorCamera.Utils.to_rgba_from_color(color).numpy()[0, ..., :3].copy()


def drop(usd: Path, seconds: float, camera: Camera) -> tuple[np.ndarray, list[np.ndarray]]:
    """Let the bodies of a file go: their poses at every step, shape [t, b, 7], and a picture before and after."""
    builder = newton.ModelBuilder()
    builder.add_usd(str(usd))
    for shape, source in enumerate(builder.shape_source):
        if not isinstance(source, newton.Gaussian):  # colliders are for touching
            builder.shape_flags[shape] &= ~int(newton.ShapeFlags.VISIBLE)
    model = builder.finalize()
    solver = newton.solvers.SolverXPBD(model, iterations=10)
    now, after, control = model.state(), model.state(), model.control()
    newton.eval_fk(model, model.joint_q, model.joint_qd, now)
    pipeline = newton.CollisionPipeline(model)
    contacts = pipeline.contacts()
    pictures, poses = [photograph(model, now, camera)], [now.body_q.numpy().copy()]
    for _ in range(round(seconds / STEP_S)):
        now.clear_forces()
        pipeline.collide(now, contacts)
        solver.step(now, after, control, contacts, STEP_S)
        now, after = after, now
        poses.append(now.body_q.numpy().copy())  # on the CPU it is the memory of the state
    return np.array(poses), [*pictures, photograph(model, now, camera)]


def main(output: Path | None = None, timesteps: int = 4, seconds: float = 1.0, quick: bool = False) -> None:
    """Track the first timesteps of a scene of flying bodies, and let Newton go on from there.

    Args:
        output: Where to write what Newton sees at first and in the end, a .png; a temporary folder when not given.
        timesteps: How many are tracked.
        seconds: How long Newton goes on.
        quick: Little work; shows that everything runs, not how well.
    """
    if newton is None:
        print("Newton is not installed, so there is nothing to show: pip install 'warpgs[newton]'")
        return
    config = PRESETS["fast"]
    if quick:
        config = replace(config, image_scale=0.5, reconstruct=replace(config.reconstruct, steps=300))
    with tempfile.TemporaryDirectory() as folder:
        tracks, camera = follow(Path(folder), timesteps, config)
        parts = find_parts(tracks)
        assert len(parts), "no rigid parts were found"
        # Free from the last timestep but one: its velocity is known from both sides.
        options = UsdOptions(dynamic=True, start=tracks.timesteps[-2])
        usd = export_usd(tracks, Path(folder) / "bodies.usdc", parts=parts, options=options)
        poses, pictures = drop(usd, seconds, camera)
        moved = np.linalg.norm(poses[-1, :, :3] - poses[0, :, :3], axis=1)
        print(f"{poses.shape[1]} bodies; within {seconds:g} s they moved by {moved.min():.2f} to {moved.max():.2f} m")
        # Nothing is lost, nothing explodes: speeds are those of things that fell or flew.
        speeds = np.linalg.norm(np.diff(poses[:, :, :3], axis=0), axis=2) / STEP_S
        assert poses.shape[1] == len(parts) and np.isfinite(poses).all() and speeds.max() < 20.0
        picture = output or Path(folder) / "newton.png"
        save_picture(picture, strip([pictures]))
        assert pictures[0].std() > 10.0 and picture.stat().st_size > 0


if __name__ == "__main__":
    tyro.cli(main)
