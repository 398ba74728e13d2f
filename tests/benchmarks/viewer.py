"""How many pictures per second the viewer draws, and how many of them a browser shows; printed, never asserted.

python -m tests.benchmarks.viewer --particles 50000 --height 270 --threads 2
"""

import time
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import tyro
from playwright import sync_api as playwright

from tests.bodies.moving import box
from tests.tracks_by_hand import make_tracks
from tests.view.chromium import COUNT_PICTURES, launch
from warpgs.render import Renderer
from warpgs.types import Camera, Tracks
from warpgs.view import look_at
from warpgs.view.web import Viewer
from warpgs.view.web.draw import NOTHING_M, Wish, draw, particles
from warpgs.view.web.session import JPEG_QUALITY

TURNS = 24
"""Pictures of one measurement, from all around."""
TIMESTEPS = 30
WINDOWS = ((640, 360), (960, 540))
"""Sizes of the browser's window [px], to which the pictures are enlarged: without a GPU most of the work."""


def main(particles: int = 50_000, height: int = 270, threads: int = 2, seconds: float = 8.0) -> None:
    """Play and turn a box that moves in a room, half of the particles each.

    Args:
        particles: How many Gaussians.
        height: Of the pictures, 16 to 9 [px].
        threads: Of the renderer.
        seconds: How long each measurement in the browser takes [s].
    """
    tracks, renderer = _tracks(particles), Renderer("cpu", threads)
    for with_depth in (False, True):
        taken = [_one(tracks, renderer, turn, (height * 16 // 9, height), with_depth) for turn in range(-2, TURNS)][2:]
        what = "color and depth" if with_depth else "color"
        print(f"{what}: {1.0 / np.median(taken):.1f} pictures/s drawn and packed, slowest {1000 * max(taken):.0f} ms")
    viewer = Viewer(port=8270, make_renderer=lambda: Renderer("cpu", threads))
    try:
        viewer.show(tracks)
        _browse(viewer, height, seconds)
    finally:
        viewer.close()


def _tracks(count: int) -> Tracks:
    generator, half = np.random.default_rng(0), count // 2
    points = np.concatenate([box((1.0, 1.0, 1.0), half, generator), box((6.0, 6.0, 3.0), half, generator)])
    shifts = np.zeros((TIMESTEPS, len(points), 3))
    shifts[:, :half, 0] = 0.3 * np.sin(2.0 * np.pi * np.arange(TIMESTEPS) / TIMESTEPS)[:, None]
    tracks = make_tracks(points + shifts, sigma=(0.02, 0.02, 0.005))
    return replace(
        tracks,
        opacity_logits=np.full(len(points), 2.0, np.float32),
        log_scales=tracks.log_scales + np.repeat([0.0, 1.0], half)[:, None].astype(np.float32),
        foreground=(np.arange(len(points)) < half).astype(np.float32),
    )


def _browse(viewer: Viewer, height: int, seconds: float) -> None:
    """Count the pictures that a browser on this machine shows while it plays and while the mouse turns the view."""
    with playwright.sync_playwright() as driver:
        chromium = launch(driver)
        for width, rows in WINDOWS:
            page = chromium.new_page(viewport={"width": width, "height": rows})
            played, turned = _in_page(page, viewer, height, seconds)
            print(f"window of {width}x{rows}: {played:.1f} pictures/s shown when played, {turned:.1f} when turned")
            page.close()
        chromium.close()


def _in_page(page: playwright.Page, viewer: Viewer, height: int, seconds: float) -> tuple[float, float]:
    """Pictures per second when played and when turned."""
    page.add_init_script(COUNT_PICTURES)
    page.goto(viewer.url)
    page.get_by_text(f"{TIMESTEPS} timesteps").wait_for()
    rows = page.locator("xpath=//label[text()='Rows, moving']/following::input[@inputmode][1]")
    rows.fill(str(height))
    rows.press("Enter")
    play = page.get_by_label("Play", exact=True)
    play.dispatch_event("click")
    time.sleep(2.0)
    played = _shown(page, height, seconds, lambda: time.sleep(seconds))
    play.dispatch_event("click")
    time.sleep(2.0)
    return played, _shown(page, height, seconds, lambda: _drag(page, seconds))


def _shown(page: playwright.Page, height: int, seconds: float, act: Callable[[], None]) -> float:
    """Pictures per second."""
    page.evaluate("pictures.length = 0")
    act()
    return page.evaluate(f"pictures.filter(rows => rows == {height}).length") / seconds


def _drag(page: playwright.Page, seconds: float) -> None:
    """Turn the view to and fro."""
    page.mouse.move(150.0, 270.0)
    page.mouse.down()
    begin = time.monotonic()
    while (gone := time.monotonic() - begin) < seconds:
        page.mouse.move(150.0 + 100.0 * np.sin(2.0 * gone), 270.0 + 10.0 * np.sin(3.0 * gone))
        time.sleep(1.0 / 60.0)
    page.mouse.up()


def _one(tracks: Tracks, renderer: Renderer, turn: int, size: tuple[int, int], with_depth: bool) -> float:
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
