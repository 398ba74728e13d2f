import pytest

from scenes.synthetic import SyntheticOptions, tumble
from warpgs.types import Frame


@pytest.fixture(scope="package")
def frame() -> Frame:
    """One instant of many cameras, near enough to each other for features."""
    options = SyntheticOptions(width=320, height=180, train_cameras=24, test_cameras=0, timesteps=1)
    return tumble(options).frame(0)
