"""A headless Chromium: one that is installed, or the one that playwright has fetched (see the Makefile)."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-compositing")
"""Runs as root, and draws on the CPU wherever it is."""
START_S = 30.0
COUNT_PICTURES = """
window.pictures = [];
const upload = WebGL2RenderingContext.prototype.texSubImage2D;
WebGL2RenderingContext.prototype.texSubImage2D = function (...what) {
  const picture = what[what.length - 1];
  if (picture instanceof HTMLImageElement) window.pictures.push(picture.height);
  return upload.apply(this, what);
};
"""
"""Script for a page: the heights of the pictures that it has shown so far, in ``window.pictures``."""


def launch(driver: Playwright) -> Browser:
    """Start it.

    Raises:
        playwright.sync_api.Error: there is none, or it does not start.
    """
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)  # playwright's own when None
    return driver.chromium.launch(executable_path=found, args=list(FLAGS), timeout=1000.0 * START_S)
