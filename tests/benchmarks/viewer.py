"""How many pictures per second the viewer draws and packs for the browser; printed, never asserted.

python -m tests.benchmarks.viewer --particles 50000 --width 480 --height 270 --threads 2
"""

import time
from dataclasses import replace

import cv2
import numpy as np
import tyro

from tests.bodies.moving import box
from tests.tracks_by_hand import make_tracks
from warpgs.render import Renderer
from warpgs.types import Camera
from warpgs.view import look_at
from warpgs.view.web.draw import NOTHING_M, Wish, draw, particles
from warpgs.view.web.session import JPEG_QUALITY

TURNS = 24
"""Pictures of one measurement, from all around."""


def main(particles_count: int = 50_000, width: int = 480, height: int = 270, threads: int = 2) -> None:
    """Turn around a box in a room, half of the particles each.

    Args:
        particles_count: How many Gaussians.
        width: Of the pictures [px].
        height: Of the pictures [px].
        threads: Of the renderer.
    """
    generator = np.random.default_rng(0)
    half = particles_count // 2
    points = np.concatenate([box((1.0, 1.0, 1.0), half, generator), box((6.0, 6.0, 3.0), half, generator)])
    tracks = make_tracks(points[None], sigma=(0.02, 0.02, 0.005))
    tracks = replace(
        tracks,
        opacity_logits=np.full(len(points), 2.0, np.float32),
        log_scales=tracks.log_scales + np.repeat([0.0, 1.0], half)[:, None].astype(np.float32),
    )
    renderer = Renderer("cpu", threads)
    for with_depth in (False, True):
        seconds = [_one(tracks, renderer, turn, (width, height), with_depth) for turn in range(-2, TURNS)][2:]
        what = "color and depth" if with_depth else "color"
        print(f"{what}: {1.0 / np.median(seconds):.1f} pictures/s, slowest {1000 * max(seconds):.0f} ms")


def _one(tracks, renderer: Renderer, turn: int, size: tuple[int, int], with_depth: bool) -> float:
    """Draw and pack one picture as the viewer does [s]."""
    width, height = size
    angle = 2.0 * np.pi * turn / TURNS
    pose = look_at(np.array([2.2 * np.cos(angle), 2.2 * np.sin(angle), 0.8]), np.zeros(3))
    intrinsics = np.array([[1.2 * height, 0.0, width / 2], [0.0, 1.2 * height, height / 2], [0.0, 0.0, 1.0]])
    camera = Camera("view", width, height, intrinsics, pose)
    begin = time.perf_counter()
    wish = Wish(0)
    pixels, depth = draw(particles(tracks, None, wish), wish, camera, renderer, with_depth=with_depth)
    cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if depth is not None:
        fixed = np.clip(np.minimum(depth, NOTHING_M) * 100_000, 0, 2**24 - 1).astype(np.uint32)
        cv2.imencode(".png", fixed[..., None].view(np.uint8)[..., :3])
    return time.perf_counter() - begin


if __name__ == "__main__":
    tyro.cli(main)
