"""Where work runs: the device a user named, the threads of the CPU, and launches that are recorded and replayed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock

import warp as wp

from warpgs.checks import refuse

RECORDING = Lock()
"""Held while launches are recorded, and by other threads while they use Warp: it records the launches of all threads.
"""


STDERR = 2


def init_quietly() -> None:
    """Start Warp, whose library reports a missing CUDA driver on stderr whatever the log level: a CPU is a choice, not
    a fault."""
    sys.stderr.flush()
    kept = os.dup(STDERR)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), STDERR)
    try:
        wp.init()
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)


@contextmanager
def quiet_warp() -> Iterator[None]:
    """Warp reports errors alone, for who uses it without the user's knowing."""
    level = wp.config.log_level
    wp.config.log_level = max(level, wp.LOG_ERROR)
    try:
        init_quietly()
        yield
    finally:
        wp.config.log_level = level


def pick_device(name: str) -> wp.Device:
    """The Warp device called ``name``: "auto" is the first CUDA device, or the CPU where there is none."""
    if name == "auto":
        return wp.get_device("cuda:0" if wp.is_cuda_available() else "cpu")
    known = ["cpu", *(device.alias for device in wp.get_cuda_devices())]
    if name not in known:
        refuse("device", "auto, " + ", ".join(known), name)
    return wp.get_device(name)


def thread_count(threads: int) -> int:
    """``threads``, or the number of cores this process may use when it is 0."""
    if threads < 0:
        refuse("threads", "0 (all cores) or more", threads)
    return threads or len(os.sched_getaffinity(0))


def make_executor(device: wp.Device, threads: int) -> Executor | None:
    """Threads for CPU launches, which are single-threaded and release the GIL; None where there is nothing to gain."""
    count = thread_count(threads)
    return ThreadPoolExecutor(count, "warpgs") if device.is_cpu and count > 1 else None


class Replay:
    """Launches that run as written the first time, are then recorded, and from there on replayed without Python.

    A CUDA graph, or Warp's list of launches on the CPU. The first run loads kernels and allocates buffers, which cannot
    be recorded. Scalars, sizes and addresses are those of the recording; what changes between runs must lie in arrays.
    """

    def __init__(self, device: wp.Device, launches: Callable[[], None]) -> None:
        self._device, self._launches = device, launches
        self._ran = False
        self._graph: wp.Graph | None = None

    def record(self) -> None:
        """Record what ran once, unless that is done. Threads that do not hold RECORDING must not launch meanwhile."""
        if self._graph is not None or not self._ran or not RECORDING.acquire(blocking=False):
            return  # busy: it runs as written once more
        try:
            with wp.ScopedCapture(device=self._device) as capture:
                self._launches()
            self._graph = capture.graph
        finally:
            RECORDING.release()

    def run(self) -> None:
        """Replay the recording, or run the launches as written where there is none. From any thread."""
        if self._graph is not None:
            wp.capture_launch(self._graph)
        else:
            self._launches()
            self._ran = True

    def forget(self) -> None:
        """Buffers moved: run as written the next time, and be recorded again after that."""
        self._graph, self._ran = None, False
