"""Sums over the threads that run together on CUDA; on the CPU there is one."""

import warp as wp


@wp.func_native(
    """{
    double* at = &wp::index(to, row, column);
#if defined(__CUDA_ARCH__)
    // Whoever of the warp has come here with this thread: nobody leaves between here and the last shuffle.
    const unsigned together = __activemask();
    double sum = 0.0;
    for (unsigned left = together; left; left &= left - 1) sum += __shfl_sync(together, value, __ffs(left) - 1);
    if ((threadIdx.x & 31) == __ffs(together) - 1) atomicAdd(at, sum);
#else
    *at += value;
#endif
    }"""
)
def add_from_all(to: wp.array2d(dtype=wp.float64), row: int, column: int, value: wp.float64):
    """Add to one element what every thread has for it, with one atomic per warp: thousands would wait for each other.

    ``row`` and ``column`` are the same in all threads.
    """
    ...
