"""Pages of figures."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from tests.tracks_by_hand import make_tracks
from warpgs.bodies import Parts
from warpgs.view import Section, motion_panels, over_time, save_page, trust_panel
from warpgs.view.page import stack
from warpgs.view.plots import Panel


def test_page_is_one_file_with_everything_escaped(tmp_path):
    pictures = [np.full((30, 40, 3), 9, np.uint8), np.full((20, 90, 3), 200, np.uint8)]
    sections = [Section("a < b", pictures[0], "read & see"), Section("second", pictures[1])]
    page, png = save_page(tmp_path / "new" / "page.html", "<run>", {"scene": "x<script>"}, sections)
    text = page.read_text()
    assert "<script>" not in text and "a &lt; b" in text and "read &amp; see" in text and text.count("<img") == 2
    shown = np.asarray(Image.open(png))
    assert (shown == 9).all(axis=2).sum() == 1200 and (shown == 200).all(axis=2).sum() == 1800
    with pytest.raises(FileExistsError, match="--overwrite"):
        save_page(page, "again", {}, sections)
    assert page.read_text() == text
    save_page(page, "again", {}, [], overwrite=True)


def test_stack_keeps_pictures_apart():
    page = stack([np.zeros((5, 7, 3), np.uint8)] * 3)
    black = (page == 0).all(axis=(1, 2)) | (page == 0).any(axis=(1, 2))
    assert (np.diff(black.astype(int)) == 1).sum() == 3 and page.shape[2] == 3


def test_motion_panels_tell_pose_and_fit_since_birth():
    poses = np.tile(np.eye(4), (4, 2, 1, 1))
    poses[:, 0, 0, 3] = [0.0, 0.1, 0.2, 0.3]
    poses[:, 1, :3, :3] = Rotation.from_euler("z", [[0], [0], [30], [60]], degrees=True).as_matrix()
    parts = Parts(np.zeros(3, np.int32), ("a", "b"), poses, np.full((4, 2), 0.02), np.array([0, 1], np.int32))
    panels = {panel.label: panel.lines for panel in motion_panels(parts)}
    np.testing.assert_allclose(panels["x [m]"]["a"], [0.0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(panels["turned [deg]"]["b"], [np.nan, 0.0, 30.0, 60.0])
    np.testing.assert_allclose(panels["residual [cm]"]["b"], [np.nan, 2.0, 2.0, 2.0])


def test_trust_is_that_of_the_foreground():
    tracks = replace(make_tracks(np.zeros((2, 3, 3))), foreground=np.array([1, 1, 0], np.float32))
    assert trust_panel(tracks) is None
    said = replace(
        tracks,
        confidence=np.array([[1, 1, 0], [0.5, 0, 0]], np.float32),
        visibility=np.ones((2, 3), np.float32),
    )
    panel = trust_panel(said)
    assert panel.lines == {"confidence": [1.0, 0.25], "visibility": [1.0, 1.0]}
    assert trust_panel(replace(said, foreground=np.zeros(3, np.float32))) is None


def test_over_time_draws_gaps_where_values_are_none():
    section = over_time("curves", (0, 1, 2), [Panel("y", {"a": [1.0, np.nan, 2.0], "b": [np.inf, 1.0, 0.5]})])
    assert section.picture.dtype == np.uint8 and section.picture.min() < 100
