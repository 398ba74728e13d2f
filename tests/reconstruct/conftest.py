import numpy as np
import pytest

from tests.reconstruct.splats import ball_in_shell, pictures_of
from warpgs.types import Frame, Gaussians


@pytest.fixture(scope="session")
def truth() -> Gaussians:
    """A ball of moving particles within a shell of others."""
    return ball_in_shell()


@pytest.fixture(scope="session")
def frame(truth) -> Frame:
    """What six equal cameras see of it."""
    return pictures_of(truth, np.zeros((6, 3)))
