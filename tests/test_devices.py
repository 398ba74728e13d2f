"""Names of devices and numbers of threads."""

import os

import pytest
import warp as wp

from warpgs.devices import RECORDING, Replay, make_executor, pick_device, thread_count


def test_auto_is_the_first_cuda_device_or_the_cpu():
    expected = "cuda:0" if wp.is_cuda_available() else "cpu"
    assert pick_device("auto").alias == expected


def test_device_is_found_by_its_name(device):
    assert pick_device(device).alias == device


@pytest.mark.parametrize("name", ["", "gpu", "cuda", "cuda:99", "CPU"])
def test_unknown_device_is_refused_with_those_there_are(name):
    with pytest.raises(ValueError, match=r"^device: expected auto, cpu.*, got ") as refusal:
        pick_device(name)
    assert str(refusal.value).endswith(f", got {name}")


def test_zero_threads_are_the_cores_this_process_may_use():
    assert thread_count(0) == len(os.sched_getaffinity(0))
    assert thread_count(3) == 3


def test_negative_threads_are_refused():
    with pytest.raises(ValueError, match=r"^threads: expected 0 \(all cores\) or more, got -1$"):
        thread_count(-1)


def test_executor_runs_what_it_is_given_on_threads_of_its_own():
    executor = make_executor(wp.get_device("cpu"), 2)
    assert executor is not None
    with executor:
        assert list(executor.map(abs, [-1, 2, -3])) == [1, 2, 3]


def test_one_thread_needs_no_executor():
    assert make_executor(wp.get_device("cpu"), 1) is None


@pytest.mark.cuda
@pytest.mark.skipif(not wp.is_cuda_available(), reason="needs a CUDA device")
def test_cuda_needs_no_executor():
    assert make_executor(wp.get_device("cuda:0"), 8) is None


@wp.kernel(enable_backward=False)
def double_kernel(x: wp.array[float]):
    i = wp.tid()
    x[i] = 2.0 * x[i]


class Doubling:
    """Doubles a number; counts how often Python asked for it."""

    def __init__(self, device: str) -> None:
        self.x = wp.ones(1, dtype=float, device=device)
        self.calls = 0
        self.replay = Replay(wp.get_device(device), self.launches)

    def launches(self) -> None:
        self.calls += 1
        wp.launch(double_kernel, 1, [self.x], device=self.x.device, record_tape=False)

    def step(self) -> float:
        self.replay.record()
        self.replay.run()
        return float(self.x.numpy()[0])


def test_replay_runs_once_is_recorded_once_and_needs_python_no_more(device):
    doubling = Doubling(device)
    assert [doubling.step() for _ in range(5)] == [2.0, 4.0, 8.0, 16.0, 32.0]
    assert doubling.calls == 2


def test_replay_forgets_what_has_moved(device):
    doubling = Doubling(device)
    for _ in range(3):
        doubling.step()
    doubling.x = wp.ones(1, dtype=float, device=device)
    doubling.replay.forget()
    assert [doubling.step() for _ in range(4)] == [2.0, 4.0, 8.0, 16.0]
    assert doubling.calls == 4


def test_replay_does_not_record_while_other_threads_launch(device):
    doubling = Doubling(device)
    with RECORDING:
        assert [doubling.step() for _ in range(3)] == [2.0, 4.0, 8.0]
    assert doubling.calls == 3
    assert [doubling.step() for _ in range(3)] == [16.0, 32.0, 64.0]
    assert doubling.calls == 4
    assert not RECORDING.locked()
