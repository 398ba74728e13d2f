"""What kind of numbers an array holds."""

import warp as wp


def number_type(array: wp.array) -> type:
    """The Warp type of one number of ``array``, whose elements may be numbers, vectors, quaternions or matrices."""
    return wp.dtype_from_numpy(wp.zeros(1, dtype=array.dtype, device="cpu").numpy().dtype)
