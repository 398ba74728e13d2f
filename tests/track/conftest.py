import pytest

from tests.track.recordings import Recording, tiny_recording


@pytest.fixture(scope="session")
def recording() -> Recording:
    """Three instants of six cameras, shared by all tests of tracking."""
    return tiny_recording()
