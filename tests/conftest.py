import pytest
import warp as wp


@pytest.fixture(params=["cpu", *(device.alias for device in wp.get_cuda_devices())])
def device(request):
    """Every device present."""
    return request.param
