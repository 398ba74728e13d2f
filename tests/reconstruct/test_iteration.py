"""Iterations that are captured, view by view or as a whole, against launches one by one."""

import numpy as np
import pytest
import warp as wp

from tests.reconstruct.room import BALL_CENTER, BALL_RADIUS, room_frame, texture
from warpgs.optimize import Adam
from warpgs.particles import Particles
from warpgs.reconstruct.iteration import Iteration
from warpgs.reconstruct.objective import Objective
from warpgs.reconstruct.order import ViewOrder
from warpgs.types import Frame, Gaussians

COUNT, STEPS = 200, 12


@pytest.fixture(scope="module")
def frame() -> Frame:
    return room_frame(4, 70, 40)


@pytest.fixture(scope="module")
def ball() -> Gaussians:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(COUNT, 3))
    means = BALL_CENTER + BALL_RADIUS * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    rotations = rng.normal(size=(COUNT, 4))
    return Gaussians(
        means=means.astype(np.float32),
        rotations_wxyz=(rotations / np.linalg.norm(rotations, axis=1, keepdims=True)).astype(np.float32),
        log_scales=rng.normal(-2.7, 0.3, (COUNT, 3)).astype(np.float32),
        colors=texture(means).astype(np.float32),
        opacity_logits=rng.normal(0.0, 1.5, COUNT).astype(np.float32),
        foreground=np.full(COUNT, 0.9, np.float32),
    )


@wp.kernel(enable_backward=False)
def pull_kernel(means: wp.array[wp.vec3], adj_means: wp.array[wp.vec3]):
    i = wp.tid()
    adj_means[i] += 1e-3 * means[i]


class Fit:
    """Particles that move along the gradient, with a pull to the origin beside the views."""

    def __init__(self, ball: Gaussians, frame: Frame, device: str) -> None:
        self.objective = Objective((1.0, 1.0), views_per_step=2, device=wp.get_device(device), executor=None)
        self.objective.load(frame)
        self.particles, self.gradients = Particles.upload(ball, device), Particles.zeros(COUNT, device)
        self.adam = Adam({"means": self.particles.means}, {"means": 1e-2})
        self.calls = 0
        views = ViewOrder(4, 2, 0, 0)
        self.order = [views.take() for _ in range(STEPS)]

    def beside(self) -> None:
        inputs, outputs = [self.particles.means], [self.gradients.means]
        wp.launch(pull_kernel, COUNT, inputs, outputs, device=self.objective.device, record_tape=False)

    def update(self) -> None:
        self.calls += 1
        self.adam.step(self.gradients.named())
        self.gradients.zero_()

    def iteration(self) -> Iteration:
        return Iteration(self.objective, self.particles, self.gradients, self.update, beside=self.beside)

    def written_out(self) -> np.ndarray:
        for views in self.order:
            self.objective.accumulate(self.particles, views, self.gradients, beside=self.beside)
            self.update()
        return self.particles.means.numpy()

    def iterated(self, *, split: int = STEPS) -> np.ndarray:
        iteration = self.iteration()
        for order in (self.order[:split], self.order[split:]):
            iteration.begin(order)
            for _ in order:
                iteration.run()
        return self.particles.means.numpy()


@pytest.fixture(params=["by view", "as a whole"])
def mode(request, monkeypatch) -> str:
    if request.param == "as a whole":
        monkeypatch.setattr(Objective, "one_graph", True)
    return request.param


@pytest.mark.parametrize("split", [STEPS, 7])
def test_iterations_give_the_bits_of_launches_one_by_one(split, mode, ball, frame):
    fit = Fit(ball, frame, "cpu")
    np.testing.assert_array_equal(fit.iterated(split=split), Fit(ball, frame, "cpu").written_out())
    assert fit.calls == 2  # as written, then recorded


def test_iterations_move_particles(mode, ball, frame, device):
    moved = np.abs(Fit(ball, frame, device).iterated() - ball.means).max()
    assert 0.01 < moved < 0.2


def test_what_was_left_black_as_a_whole_can_be_done_again(ball, frame, monkeypatch):
    expected = Fit(ball, frame, "cpu").written_out()
    monkeypatch.setattr(Objective, "one_graph", True)
    fit = Fit(ball, frame, "cpu")
    iteration = fit.iteration()
    iteration.begin(fit.order[:3])
    for _ in range(3):
        iteration.run()
    for rasterizer in fit.objective.rasterizers():
        rasterizer._bins._allocate(10)
    fit.objective.generation += 1  # what growing does: here the room has shrunk
    for attempt in range(2):
        fit.particles.means.assign(ball.means)
        fit.gradients.zero_()
        fit.adam.reset()
        iteration.begin(fit.order)
        for _ in fit.order:
            iteration.run()
        assert fit.objective.overflowed() == (attempt == 0)
        if attempt == 0:
            assert (fit.particles.means.numpy() != expected).any()
            fit.objective.grow()
    np.testing.assert_array_equal(fit.particles.means.numpy(), expected)
