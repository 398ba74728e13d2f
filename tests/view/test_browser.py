"""The viewer in a real browser: a headless Chromium, where there is one."""

import io
import socket
import time
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

from scenes.synthetic import SyntheticOptions, perfect_tracks, tumble

pytest.importorskip("viser")
pytest.importorskip("playwright", reason="needs playwright, of the extra dev")
from playwright import sync_api as playwright

from tests.view.chromium import COUNT_PICTURES, launch
from warpgs.edit import lengthen
from warpgs.view.keyframes import read_keyframes
from warpgs.view.web import Viewer
from warpgs.view.web.controls import MOVING_PX, STILL_PX

SIZE = {"width": 800, "height": 400}
PANEL_PX = 330
"""What the panel may cover, from the right."""
PATIENCE_S = 60.0
FINE = f"pictures.findLast(rows => [{MOVING_PX}, {STILL_PX}].includes(rows)) == {STILL_PX}"
"""Script that says whether the last picture of the view was a fine one; those of cameras count for nothing."""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        try:
            chromium = launch(driver)
        except playwright.Error as error:
            pytest.skip(f"needs a Chromium that starts; make check-viewer fetches one ({str(error).splitlines()[0]})")
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def served():
    """A viewer of the first of six timesteps, and all of them."""
    options = SyntheticOptions(
        width=96, height=54, timesteps=6, train_cameras=4, test_cameras=1, cloud_background=3000, cloud_noise_m=0.0
    )
    scene = tumble(options)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tracks = perfect_tracks(scene)
    tracks = replace(tracks, confidence=np.random.default_rng(0).random(tracks.means.shape[:2], np.float32))
    shown = Viewer(scene, port=port)
    shown.show(lengthen(tracks, 1), whole=False)
    yield shown, tracks
    shown.close()


class Visitor:
    """A page on the viewer."""

    def __init__(self, browser, viewer) -> None:
        self.complaints = []
        self.page = browser.new_page(viewport=SIZE)
        self.page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.set_default_timeout(1000 * PATIENCE_S)
        self.page.add_init_script(COUNT_PICTURES)
        self.page.goto(viewer.url)
        self.page.get_by_text(f"{len(viewer.tracks)} timesteps").wait_for()
        self.page.get_by_text("Software WebGL").wait_for()
        self.page.locator(".mantine-Notification-closeButton").first.click()
        self.look_until(lambda picture: picture.std() > 10.0)

    def look(self) -> np.ndarray:
        """The picture beside the panel, RGB, shape [h, w, 3]."""
        shot = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        return np.asarray(shot, float)[:, : SIZE["width"] - PANEL_PX]

    def look_until(self, good) -> np.ndarray:
        """The picture once it is good and has come to rest: it is drawn coarsely first, and finely a little later."""
        end, before = time.monotonic() + PATIENCE_S, self.look()
        while time.monotonic() < end:
            time.sleep(0.1)
            now = self.look()
            if np.abs(now - before).max() < 2.0 and good(now) and self.page.evaluate(FINE):
                return now
            before = now
        raise AssertionError("the picture never became what it should")

    def number(self, label: str):
        """The box beside a slider."""
        return self.page.locator(f"xpath=//label[text()='{label}']/following::input[@inputmode][1]")

    def enter(self, label: str, value: int) -> None:
        self.number(label).fill(str(value))
        self.number(label).press("Enter")

    def scrub(self, timestep: int) -> None:
        self.enter("Timestep", timestep)

    def timestep(self) -> str:
        return self.number("Timestep").input_value()

    def toggle(self, label: str) -> None:
        self.page.get_by_label(label, exact=True).click()

    def pick(self, label: str, option: str) -> None:
        self.page.get_by_label(label, exact=True).first.click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def press(self, button: str, path):
        """A button that sends a file."""
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name=button).click()
        download.value.save_as(path)
        return path


@pytest.fixture(scope="module")
def page(browser, served):
    """A page on which one could look around while the rest was loading."""
    viewer, tracks = served
    page = Visitor(browser, viewer)
    assert page.page.get_by_text("loading the rest").count() == 1
    page.page.evaluate("pictures.length = 0")
    viewer.show(tracks)
    page.page.get_by_text("6 timesteps").wait_for()
    page.look_until(lambda picture: picture.std() > 10.0)
    return page


@pytest.fixture
def visitor(page):
    """The same page for every test, which leaves it as it was; the browser must have nothing to complain of."""
    page.complaints.clear()
    closers = page.page.locator(".mantine-Notification-closeButton")
    while closers.count():  # what is said of downloads would cover the picture
        closers.first.click()
        time.sleep(0.3)
    yield page
    assert page.complaints == []


def differ(before: np.ndarray):
    return lambda picture: np.abs(picture - before).mean() > 1.0


def test_scrubbing_and_trajectories_change_the_picture(visitor):
    first = visitor.look()
    visitor.scrub(5)
    later = visitor.look_until(differ(first))
    visitor.toggle("Trajectories")
    with_paths = visitor.look_until(lambda picture: np.abs(picture - later).max() > 60.0)
    share = (np.abs(with_paths - later).max(axis=2) > 60.0).mean()
    assert 0.0005 < share < 0.2  # lines, not all of the picture
    visitor.toggle("Trajectories")
    visitor.look_until(lambda picture: np.abs(picture - later).mean() < 0.5)
    visitor.scrub(0)
    visitor.look_until(lambda picture: np.abs(picture - first).mean() < 0.5)


def test_everything_that_can_be_shown_differs(visitor):
    seen = [visitor.look()]
    for show in ("parts", "confidence", "depth", "normals", "mask"):
        visitor.pick("Show", show)
        seen.append(visitor.look_until(differ(seen[-1])))
    visitor.pick("Show", "color")
    visitor.look_until(differ(seen[-1]))
    for label in ("Cameras", "Rotations as frames", "Foreground only"):
        before = visitor.look()
        visitor.toggle(label)
        visitor.look_until(lambda picture, before=before: np.abs(picture - before).max() > 60.0)
        visitor.toggle(label)
        visitor.look_until(lambda picture, before=before: np.abs(picture - before).mean() < 0.5)


def test_a_click_chooses_the_particle_under_it(visitor):
    visitor.scrub(5)
    visitor.pick("Show", "mask")
    mask = visitor.look_until(lambda picture: set(np.unique(picture[::7, ::7])) & {0.0, 255.0})
    rows, columns = np.nonzero(mask.min(axis=2) > 250.0)
    middle = len(rows) // 2
    visitor.toggle("Trajectories")
    visitor.enter("Random particles", 0)
    visitor.toggle("Choose by clicking")
    before = visitor.look_until(lambda _: True)
    visitor.page.mouse.click(int(columns[middle]), int(rows[middle]))
    with_path = visitor.look_until(lambda picture: np.abs(picture - before).max() > 60.0)
    changed = np.abs(with_path - before).max(axis=2) > 60.0
    assert changed.sum() < 500 and changed[rows[middle] - 15 : rows[middle] + 15].any()  # one line, from there
    visitor.page.get_by_role("button", name="Forget chosen ones").click()
    visitor.look_until(lambda picture: np.abs(picture - before).max() < 60.0)
    visitor.toggle("Choose by clicking")
    visitor.enter("Random particles", 60)
    visitor.toggle("Trajectories")
    visitor.pick("Show", "color")
    visitor.scrub(0)


def test_playing_goes_on_by_itself(visitor):
    visitor.pick("Speed", "1/8")
    visitor.toggle("Play")
    seen = {visitor.timestep()}
    end = time.monotonic() + PATIENCE_S
    while len(seen) < 3 and time.monotonic() < end:
        time.sleep(0.1)
        seen.add(visitor.timestep())
    assert len(seen) >= 3
    visitor.toggle("Play")
    visitor.scrub(0)


def test_screenshot_video_and_keyframes_are_downloads(visitor, tmp_path):
    before = visitor.look_until(lambda _: True)
    picture = np.asarray(Image.open(visitor.press("Screenshot", tmp_path / "a.png")).convert("RGB"), float)
    width = before.shape[1]
    assert picture.shape[0] == SIZE["height"] and picture.std() > 10.0
    # The same as on the page, but for the size at which that is drawn and its compression.
    assert np.abs(picture[:, :width] - before).mean() < 12.0
    with av.open(visitor.press("Video of all timesteps", tmp_path / "a.mp4")) as video:
        frames = [frame.to_image() for frame in video.decode(video=0)]
    first, last = (np.asarray(frame.resize(picture.shape[1::-1]), float) for frame in (frames[0], frames[-1]))
    assert len(frames) == 6 and np.abs(first - picture).mean() < 12.0 < np.abs(last - first).max()
    visitor.page.get_by_role("button", name="Add keyframe").click()
    visitor.page.get_by_text("At timesteps 0").wait_for()
    (key,) = read_keyframes(visitor.press("Save keyframes", tmp_path / "a.json"))
    assert key.timestep == 0 and key.fov_deg > 1.0


def test_browser_draws_about_the_same_by_itself(visitor):
    ours = visitor.look_until(lambda _: True)
    visitor.pick("Drawn by", "browser")
    # Its background is gray: what can be compared is what is bright in ours.
    bright = ours.max(axis=2) > 60.0

    def resembles(picture: np.ndarray) -> bool:
        return not (picture == ours).all() and np.corrcoef(ours[bright].ravel(), picture[bright].ravel())[0, 1] > 0.9

    theirs = visitor.look_until(resembles)
    assert np.abs(theirs - ours).mean() > 1.0
    visitor.pick("Drawn by", "warpgs")
    visitor.look_until(lambda picture: np.abs(picture - ours).mean() < 0.5)
    # viser 1.1 says so of any splats: the corners of its quads have no z, which three.js takes for NaN; no harm.
    assert all("computeBoundingSphere" in complaint for complaint in visitor.complaints)
    visitor.complaints.clear()


def test_visitors_have_timelines_of_their_own(visitor, browser, served):
    other = Visitor(browser, served[0])
    try:
        before = visitor.look()
        other.scrub(4)
        other.look_until(differ(before))
        assert (visitor.timestep(), other.timestep()) == ("0", "4")
        assert np.abs(visitor.look() - before).mean() < 0.5
        assert other.complaints == []
    finally:
        other.page.close()
