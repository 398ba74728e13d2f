import shutil
from pathlib import Path

import pytest

from scenes.synthetic import tumble
from tests.scenes.panoptic_folder import TINY
from tests.scenes.videos_folder import write_videos


@pytest.fixture(scope="module")
def scene():
    return tumble(TINY)


@pytest.fixture(scope="module")
def videos(scene, tmp_path_factory):
    root = tmp_path_factory.mktemp("videos") / "capture"
    write_videos(root, scene)
    return root


@pytest.fixture
def folder(videos, tmp_path):
    return Path(shutil.copytree(videos, tmp_path / "capture"))
