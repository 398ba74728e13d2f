"""A broken file is read or refused in a sentence: soon, in little memory, and nothing is written."""

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scenes import open_scene
from scenes.recording import FILE
from scenes.synthetic import tumble
from tests.scenes.fuzzing import EXAMPLES, bounded, broken, files_to_break
from tests.scenes.layouts import LAYOUTS
from tests.scenes.panoptic_folder import TINY

# What masks of one's own are read from is moved out of the same folder.
FOLDERS = LAYOUTS | {"masks": LAYOUTS["panoptic"], "recording": LAYOUTS["panoptic"]}
SAID = "scale = 1.0\ncrop_px = [0, 0]\n[turn_deg]\n0 = [0.1, -0.2, 0.3]\n1 = [0.0, 0.0, 1e-3]\n"


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request, tmp_path_factory):
    """A whole recording, read once: what is read later has its modules and its decoders at hand."""
    root = tmp_path_factory.mktemp("fuzzed") / "capture"
    FOLDERS[request.param](root, tumble(TINY))
    if request.param == "masks":
        shutil.move(root / "seg", root / "masks")
    if request.param == "recording":
        (root / FILE).write_text(SAID)
    read_all(root)
    return root


def read_all(root) -> None:
    masks = root / "masks"
    scene = open_scene(root, masks=masks if masks.is_dir() and (root / "ims").is_dir() else None)
    scene.validate(range(scene.timestep_count))
    for split in ("train", "test"):
        for frame in scene.frames(split):
            assert len(frame.images) == len(frame.cameras)
    scene.point_cloud()


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_fuzzed_file_is_read_or_refused_in_a_sentence(folder, data):
    path = data.draw(st.sampled_from(files_to_break(folder)))
    whole = path.read_bytes()
    path.write_bytes(data.draw(broken(whole, path.suffix)))
    try:
        with bounded(folder):
            try:
                read_all(folder)
            except (ValueError, OSError, TypeError) as refusal:
                assert ": expected " in str(refusal) and ", got " in str(refusal), refusal
    finally:
        path.write_bytes(whole)
