"""Checks that no reader's tests reach."""

import numpy as np
import pytest

from warpgs.checks import check_camera
from warpgs.types import Camera


def test_check_camera_refuses_skew_that_projection_would_ignore():
    intrinsics = np.array([[500.0, 2.0, 320.0], [0.0, 500.0, 180.0], [0.0, 0.0, 1.0]])
    with pytest.raises(ValueError, match=r"camera 7: skew: expected K\[0, 1\] = 0, got 2.0; resample"):
        check_camera("camera 7", Camera("7", 640, 360, intrinsics, np.eye(4)))
