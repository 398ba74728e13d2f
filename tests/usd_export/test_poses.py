"""Poses as USD stores them, against formulas in float64."""

from __future__ import annotations

import numpy as np
import pytest

from tests.usd_export.sample import covariances
from usd_export.poses import EXTENT_SIGMAS, Gather


@pytest.mark.parametrize("seed", range(3))
def test_extent_is_the_box_of_all_ellipsoids_however_they_lie(seed: int):
    rng = np.random.default_rng(seed)
    count = 3000  # several blocks
    means = rng.normal(size=(count, 3)).astype(np.float32)
    rotations_wxyz = rng.normal(size=(count, 4))
    rotations_wxyz = (rotations_wxyz / np.linalg.norm(rotations_wxyz, axis=1, keepdims=True)).astype(np.float32)
    log_scales = rng.normal(-3.0, 1.5, size=(count, 3)).astype(np.float32)  # needles, and some that are large
    ids = rng.permutation(count)[: count - 500]
    extent = Gather(ids, log_scales)(means, rotations_wxyz).extent.astype(np.float64)
    reach = EXTENT_SIGMAS * np.sqrt(np.diagonal(covariances(rotations_wxyz[ids], log_scales[ids]), axis1=1, axis2=2))
    low, high = (means[ids] - reach).min(axis=0), (means[ids] + reach).max(axis=0)
    np.testing.assert_allclose(extent, [low, high], rtol=1e-5)
    assert (extent[0] <= low).all() and (extent[1] >= high).all()
