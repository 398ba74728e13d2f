"""The contract of warpgs.priors.base, for every prior of the package; and that its check tells who breaks it."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import trimesh
import warp as wp
from scipy.spatial.transform import Rotation

from tests.reference import materials, priors
from warpgs.priors import (
    PRIORS,
    Box,
    ContactPrior,
    MomentumPrior,
    Parameter,
    PenetrationPrior,
    Prior,
    Sphere,
    SpringPrior,
    TriangleMesh,
    accumulate_energy,
)
from warpgs.priors.contract import ON_THE_FLOOR, BrokenPromise, check
from warpgs.priors.trial import Result, World
from warpgs.similarity import Similarity

PLACES = {
    "background": {"motion": None, "any_frame": False},  # sums of absolute coordinates depend on the axes
    "ground": {"motion": ON_THE_FLOOR, "any_frame": False},  # its plane is in the frame of the particles
    "contact": {"motion": ON_THE_FLOOR},
}
"""What does not hold for every prior."""
ORACLES = priors.ORACLES | materials.ORACLES
MAKERS = PRIORS | {
    "springs": partial(SpringPrior, damping_s=0.5),
    "contact": partial(ContactPrior, friction=0.4),
    "penetration": partial(PenetrationPrior, distance=2.0),
}
"""With all terms at work."""
LEARNED = {
    "springs": ["stiffness", "damping_s"],
    "arap": ["stiffness"],
    "elastic": ["stiffness"],
    "volume": ["stiffness"],
    "shape_matching": ["stiffness"],
    "contact": ["friction"],
}
SPHERE = Sphere((0.0, 0.0, -2.9), 3.0)
BLOCK = Box((0.1, 0.0, -0.9), (3.0, 2.5, 1.8), (0.9, 0.05, 0.03, 0.4))


@pytest.mark.parametrize("name", PRIORS)
def test_prior_keeps_the_contract(name, device):
    check(MAKERS[name], device=device, **PLACES.get(name, {}))


@pytest.mark.parametrize("each", [False, True], ids=["global", "per particle"])
@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in LEARNED.items() for field in fields])
def test_prior_with_a_learned_parameter_keeps_the_contract(name, field, each, device):
    values = np.linspace(0.5, 2.0, 16) if each else 0.7

    def make(weight):
        learned = Parameter.of(values, dtype=wp.float64, device=device)
        return replace(MAKERS[name](weight=weight), **{field: learned})

    check(make, device=device, **PLACES.get(name, {}))


def block_mesh() -> TriangleMesh:
    """The sides of the block, as triangles."""
    box = trimesh.creation.box(BLOCK.size_m)
    turn = Rotation.from_quat(BLOCK.rotation_wxyz, scalar_first=True)
    return TriangleMesh(turn.apply(box.vertices) + BLOCK.center_m, box.faces)


@pytest.mark.parametrize("surface", [SPHERE, BLOCK, block_mesh()], ids=["sphere", "box", "mesh"])
def test_contact_with_a_solid_keeps_the_contract(surface, device):
    check(partial(ContactPrior, surface=surface, friction=0.4), motion=None, device=device)


def test_contact_with_slow_friction_matches_its_oracle_and_keeps_the_contract(device):
    slow = partial(ContactPrior, friction=0.4, creep_per_s=4.0)
    check(slow, motion=ON_THE_FLOOR, device=device)
    world = World.random(24)
    value = Result.of(slow(weight=2.5), world, wp.float64, device).value
    np.testing.assert_allclose(value, 2.5 * materials.contact(world, creep_per_s=4.0), rtol=1e-11)


def test_momentum_with_a_limit_matches_its_oracle_and_keeps_the_contract(device):
    soft = partial(MomentumPrior, limit=0.5)
    check(soft, device=device)
    world = World.random(24)
    value = Result.of(soft(weight=2.5), world, wp.float64, device).value
    np.testing.assert_allclose(value, 2.5 * materials.momentum(world, limit=0.5), rtol=1e-11)


@pytest.mark.parametrize("radius", [0.0, 0.3])
def test_contact_with_a_solid_is_as_deep_as_its_signed_distance(radius, device):
    turn = Rotation.from_quat(BLOCK.rotation_wxyz, scalar_first=True)
    for seed in range(5):
        world = World.random(64, seed=seed)
        size, points = materials.spacing(world), np.stack([world.now[0], world.first[0]])
        beyond = np.abs((points - BLOCK.center_m) @ turn.as_matrix()) - 0.5 * np.array(BLOCK.size_m)
        from_block = np.linalg.norm(np.maximum(beyond, 0.0), axis=2) + np.minimum(beyond.max(axis=2), 0.0)
        from_sphere = np.linalg.norm(points - SPHERE.center_m, axis=2) - SPHERE.radius_m
        for surface, distances, rtol in (
            (SPHERE, from_sphere, 1e-12),
            (BLOCK, from_block, 1e-12),
            (block_mesh(), from_block, 1e-6),  # its vertices are float32
        ):
            now, first = distances / size
            expected = np.mean(np.maximum(np.minimum(radius, first) - now, 0.0) ** 2 / 2.0)
            assert expected > 1e-3
            value = Result.of(ContactPrior(1.0, surface, radius), world, wp.float64, device).value
            np.testing.assert_allclose(value, expected, rtol=rtol)


@pytest.mark.parametrize("name", PRIORS)
def test_prior_matches_oracle(name, device):
    for seed, neighbors in enumerate((5, 5, 20)):
        world = World.random(24, neighbors, seed=seed)
        expected = ORACLES[name](world)
        assert expected > 1e-3
        value = Result.of(MAKERS[name](weight=2.5), world, wp.float64, device).value
        np.testing.assert_allclose(value, 2.5 * expected, rtol=1e-11)


@pytest.mark.parametrize("name", [name for name in PRIORS if "any_frame" in PLACES.get(name, {})])
def test_prior_is_unchanged_by_the_unit_of_length(name, device):
    world, unit = World.random(), Similarity(250.0)
    result, expected = (
        Result.of(PRIORS[name](), w, wp.float64, device) for w in (world.moved(unit), world)
    )  # fmt: skip
    assert not replace(result, adj_means=unit.scale * result.adj_means).differs(expected, 1e-12)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", PRIORS)
def test_prior_refuses_a_weight_without_meaning(name, weight):
    with pytest.raises(ValueError, match="weight: expected a finite number >= 0"):
        PRIORS[name](weight=weight)


@wp.kernel
def leash_kernel(
    means: wp.array(dtype=Any),
    first: wp.array(dtype=Any),
    scale: Any,
    length: Any,
    loss: wp.array(dtype=wp.float64),
):
    i = wp.tid()
    stretch = wp.length(means[i] - first[i]) - length
    wp.atomic_add(loss, 0, wp.float64(scale * stretch * stretch))


@dataclass(frozen=True)
class Leash(Prior):
    """Holds particles where they were at first, unless one of its flaws is switched on."""

    weight: float = 1.0
    flaw: str = ""

    def accumulate(self, state, rest, loss):
        count = max(rest.means.size, 1)
        scale = self.weight / (count * (1.0 if self.flaw == "fixed unit" else rest.spacing) ** 2)
        if self.flaw == "square of weight":
            scale *= self.weight
        first = rest.means
        if self.flaw == "fixed place":
            first = wp.zeros_like(rest.means)
        if self.flaw == "forgets what was there":
            loss.zero_()
            state.adj_means.zero_()
        length = rest.dtype(rest.spacing if self.flaw == "stretched at rest" else 0.0)
        inputs = [state.means, first, rest.dtype(scale), length]
        if self.flaw == "no gradient":
            wp.launch(leash_kernel, rest.means.size, inputs, [loss])
            return
        accumulate_energy(leash_kernel, rest.means.size, inputs, state, rest, loss)
        if self.flaw == "half a gradient" and rest.means.size:
            accumulate_energy(leash_kernel, rest.means.size, inputs, state, rest, wp.zeros_like(loss))


def test_check_accepts_a_good_prior(device):
    check(Leash, device=device)


@pytest.mark.parametrize(
    ("flaw", "promise"),
    [
        ("stretched at rest", "zero at rest"),
        ("square of weight", "linear in its weight"),
        ("half a gradient", "a gradient of means like finite differences"),
        ("no gradient", "at work on disturbed particles"),
        ("forgets what was there", "three times as much"),
        ("fixed unit", "in any frame and unit"),
        ("fixed place", "zero at rest"),
    ],
)
def test_check_names_the_promise_that_is_broken(flaw, promise):
    with pytest.raises(BrokenPromise, match=promise):
        check(lambda weight: Leash(weight, flaw))
