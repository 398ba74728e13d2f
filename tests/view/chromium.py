"""A headless Chromium: one that is installed, or the one that playwright has fetched (see the Makefile)."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--enable-unsafe-swiftshader")
"""Runs as root, and draws without a GPU."""
START_S = 30.0


def launch(driver: Playwright) -> Browser:
    """Start it.

    Raises:
        playwright.sync_api.Error: there is none, or it does not start.
    """
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    return driver.chromium.launch(executable_path=found, args=list(FLAGS), timeout=1000.0 * START_S)
