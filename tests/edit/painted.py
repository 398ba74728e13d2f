"""A die, a letter on it, and where ground truth says that the paint shows from another camera at another time."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from scenes.synthetic import Pattern, SyntheticOptions, SyntheticScene, Texture, box
from warpgs.query.geometry import project
from warpgs.types import Camera
from warpgs.view import look_at

SIDE_M = 0.5
FACE = np.array([0.0, -SIDE_M / 2, 0.0])
"""Center of the painted face, the die's frame [m]."""


def make_die(timesteps: int = 6) -> SyntheticScene:
    """A die that turns by 8 degrees and drifts by 5 cm per timestep."""
    paint = Texture(Pattern.CHECKER, 0.06, ((0.9, 0.2, 0.1), (0.95, 0.9, 0.3), (0.1, 0.2, 0.7)))
    poses = np.tile(np.eye(4), (timesteps, 1, 1, 1))
    for t in range(timesteps):
        poses[t, 0, :3, :3] = Rotation.from_rotvec(np.deg2rad(8.0 * t) * np.array([0.3, 0.2, 0.93])).as_matrix()
        poses[t, 0, :3, 3] = [0.05 * t, 0.0, 0.6]
    options = SyntheticOptions(
        width=160,
        height=90,
        timesteps=timesteps,
        train_cameras=12,
        test_cameras=0,
        cloud_background=2000,
        cloud_foreground=8000,
        cloud_noise_m=0.0,
    )
    return SyntheticScene("die", (box("die", (SIDE_M,) * 3, paint),), poses, options)


def make_camera(center, target, width: int = 160, height: int = 120, focal: float = 200.0) -> Camera:
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return Camera("eye", width, height, intrinsics, look_at(np.array(center, float), np.array(target, float)))


def paint_letter(camera: Camera, world_from_die: np.ndarray, letter: str = "R") -> np.ndarray:
    """A dark letter on a white plate over the middle of the face, RGBA 0..1."""
    x, y = project((world_from_die[:3, :3] @ FACE + world_from_die[:3, 3])[None], camera)[0][0]
    half = 0.1 * camera.intrinsics[0, 0]
    picture = Image.new("RGBA", (camera.width, camera.height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    draw.rectangle([x - half, y - half, x + half, y + half], fill=(250, 250, 250, 255))
    font = ImageFont.load_default(2 * half)
    draw.text((x, y), letter, fill=(20, 20, 120, 255), font=font, anchor="mm", stroke_width=1)
    return np.asarray(picture) / 255.0


def warped(
    painting: np.ndarray, painted_on: Camera, then: np.ndarray, camera: Camera, now: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The painting as another camera sees it on the face later: RGB [h, w, 3], and where it shows, bool [h, w]."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(camera.intrinsics).T
    rays = rays @ camera.world_from_camera[:3, :3].T
    face, normal = now[:3, :3] @ FACE + now[:3, 3], now[:3, :3] @ FACE / np.linalg.norm(FACE)
    depth = ((face - camera.center_world) @ normal) / (rays @ normal)
    local = (camera.center_world + depth[..., None] * rays - now[:3, 3]) @ now[:3, :3]
    on_face = (depth > 0.0) & (np.abs(local[..., [0, 2]]) < SIDE_M / 2).all(axis=-1)
    there, _ = project(local @ then[:3, :3].T + then[:3, 3], painted_on)
    places = [there[..., 1] - 0.5, there[..., 0] - 0.5]
    seen = np.stack([map_coordinates(plane, places, order=1) for plane in np.moveaxis(painting, 2, 0)], axis=-1)
    return seen[..., :3], on_face & (seen[..., 3] > 0.999)
