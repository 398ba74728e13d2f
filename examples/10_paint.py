"""Paint on one picture of a moving thing, and see the paint from elsewhere, later: 4D painting.

The tracks are imagined, as perfect tracking of a synthetic die would give them, so that the truth is known.

    python examples/10_paint.py --output paint.png
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tyro
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from scenes.synthetic import Pattern, SyntheticOptions, SyntheticScene, Texture, box, perfect_tracks
from warpgs.edit import paint
from warpgs.evaluate.images import ssim
from warpgs.query.geometry import project
from warpgs.render import Renderer
from warpgs.types import Camera
from warpgs.view import look_at, save_picture, strip

TIMESTEPS = 6
SIDE_M = 0.5
FACE = np.array([0.0, -SIDE_M / 2, 0.0])
"""Center of the painted face, the die's frame [m]."""


def make_scene() -> SyntheticScene:
    """A die that turns by 8 degrees and drifts by 5 cm per timestep."""
    texture = Texture(Pattern.CHECKER, 0.06, ((0.9, 0.2, 0.1), (0.95, 0.9, 0.3), (0.1, 0.2, 0.7)))
    poses = np.tile(np.eye(4), (TIMESTEPS, 1, 1, 1))
    for t in range(TIMESTEPS):
        poses[t, 0, :3, :3] = Rotation.from_rotvec(np.deg2rad(8.0 * t) * np.array([0.3, 0.2, 0.93])).as_matrix()
        poses[t, 0, :3, 3] = [0.05 * t, 0.0, 0.6]
    options = SyntheticOptions(
        width=160,
        height=90,
        timesteps=TIMESTEPS,
        train_cameras=12,
        test_cameras=0,
        cloud_background=4000,
        cloud_foreground=8000,
        cloud_noise_m=0.0,
    )
    return SyntheticScene("die", (box("die", (SIDE_M,) * 3, texture),), poses, options)


def make_camera(center: np.ndarray, target: np.ndarray) -> Camera:
    """160x120 pixels, a centimetre each at two metres."""
    return Camera("eye", 160, 120, np.array([[200.0, 0, 80], [0, 200.0, 60], [0, 0, 1]]), look_at(center, target))


def paint_letter(center_px: np.ndarray) -> np.ndarray:
    """A dark letter on a white plate, RGBA 0..1."""
    x, y = center_px
    picture = Image.new("RGBA", (160, 120), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    draw.rectangle([x - 20, y - 20, x + 20, y + 20], fill=(250, 250, 250, 255))
    font = ImageFont.load_default(40)
    draw.text((x, y), "R", fill=(20, 20, 120, 255), font=font, anchor="mm", stroke_width=1)
    return np.asarray(picture) / 255.0


def warp(painting: np.ndarray, painted_on: Camera, then: np.ndarray, camera: Camera, now: np.ndarray) -> np.ndarray:
    """The painting where another camera sees it on the face later, by the true motion; RGBA, shape [h, w, 4]."""
    x, y = np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(camera.intrinsics).T
    rays = rays @ camera.world_from_camera[:3, :3].T
    face, normal = now[:3, :3] @ FACE + now[:3, 3], now[:3, 1]
    depth = ((face - camera.center_world) @ normal) / (rays @ normal)
    on_die = (camera.center_world + depth[..., None] * rays - now[:3, 3]) @ now[:3, :3]
    there, _ = project(on_die @ then[:3, :3].T + then[:3, 3], painted_on)
    places = [there[..., 1] - 0.5, there[..., 0] - 0.5]
    return np.stack([map_coordinates(plane, places, order=1) for plane in np.moveaxis(painting, 2, 0)], axis=-1)


def main(output: Path | None = None) -> None:
    """Paint a letter at the first timestep and read it at the last.

    Args:
        output: Where to write the picture, a .png; a temporary folder when not given.
    """
    scene = make_scene()
    poses, tracks = scene.ground_truth().world_from_body[:, 0], perfect_tracks(scene)
    camera = make_camera(np.array([0.3, -2.0, 0.9]), poses[0, :3, 3])
    other = make_camera(poses[-1, :3, 3] + [0.9, -1.7, 0.3], poses[-1, :3, 3])

    center_px = project((poses[0, :3, :3] @ FACE + poses[0, :3, 3])[None], camera)[0][0]
    painting = paint_letter(center_px)
    painted = paint(tracks, painting, camera, at=0)
    print(f"{len(painted.foreground) - len(tracks.foreground)} particles more, for detail")

    renderer = Renderer()
    before, after, later = (
        renderer.view(which.at(instant), eye).color.clip(0.0, 1.0)
        for which, instant, eye in ((tracks, 0, camera), (painted, 0, camera), (painted, -1, other))
    )
    truth = warp(painting, camera, poses[0], other, poses[-1])
    shows = truth[..., 3] > 0.999
    wanted = np.where(shows[..., None], truth[..., :3], later)
    similarity = ssim(later, wanted, shows)
    print(
        f"structural similarity with the true letter, {TIMESTEPS - 1} timesteps later from elsewhere: {similarity:.2f}"
    )
    assert shows.sum() > 1000 and similarity >= 0.8

    with tempfile.TemporaryDirectory() as folder:
        picture = output or Path(folder) / "paint.png"
        pictures = [(255.0 * each).astype(np.uint8) for each in (before, after, later, wanted)]
        save_picture(picture, strip([[each.repeat(2, axis=0).repeat(2, axis=1) for each in pictures]]))
        assert picture.stat().st_size > 0


if __name__ == "__main__":
    tyro.cli(main)
