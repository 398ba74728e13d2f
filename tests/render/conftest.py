import pytest
import warp as wp

from tests.render.worlds import WORLDS, Driver, World

wp.config.enable_cpu_blocks = True  # what the portable driver runs on; launches without a block size do not change

DRIVERS = {
    "strips": Driver("cpu", portable=False),
    "portable": Driver("cpu", portable=True),
    **{device.alias: Driver(device.alias, portable=True) for device in wp.get_cuda_devices()},
}


@pytest.fixture(params=DRIVERS)
def driver(request) -> Driver:
    """Both ways to composite on the CPU, and every CUDA device present."""
    return DRIVERS[request.param]


@pytest.fixture(params=WORLDS)
def world(request) -> World:
    """Each of WORLDS."""
    return WORLDS[request.param]()
