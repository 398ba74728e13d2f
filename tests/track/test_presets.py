"""Preset paper is the published protocol, number by number; both presets run."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from tests.track.recordings import Recording
from warpgs.losses import window
from warpgs.priors import MomentumPrior, Prior
from warpgs.reconstruct.densify import RESET_OPACITY, SPLIT_SHRINK
from warpgs.track import PRESETS, TrackConfig, track
from warpgs.track.config import FollowConfig, FreeConfig, PriorConfig, RigidConfig

PAPER = PRESETS["paper"]

PROTOCOL = {
    # first timestep: "10,000 iterations, one random camera each"
    "reconstruct.steps": 10_000,
    "reconstruct.without_cloud": 1.0,
    "reconstruct.views_per_step": 1,
    # "image 1, mask 3, rigidity 4, rotation 4, isometry 2, floor 2, background 20"
    "reconstruct.image_weight": 1.0,
    "reconstruct.mask_weight": 3.0,
    "follow.image_weight": 1.0,
    "follow.mask_weight": 3.0,
    "follow.priors.rigidity": 4.0,
    "follow.priors.rotation": 4.0,
    "follow.priors.isometry": 2.0,
    "follow.priors.momentum": 0.0,  # not in the paper
    "follow.priors.ground": 2.0,
    "follow.priors.background": 20.0,
    # "the same on a rendered foreground/background mask"
    "reconstruct.background_channel": True,
    "follow.background_channel": True,
    # "centres 1.6e-4 * scene radius, colour 2.5e-3, rotation 1e-3, opacity 5e-2, log-scale 1e-3, correction 1e-4";
    # constant, and the foreground labels are those of the cloud
    "reconstruct.rates.means": 1.6e-4,
    "reconstruct.rates.colors": 2.5e-3,
    "reconstruct.rates.rotations": 1e-3,
    "reconstruct.rates.opacity_logits": 5e-2,
    "reconstruct.rates.log_scales": 1e-3,
    "reconstruct.rates.corrections": 1e-4,
    "reconstruct.rates.foreground_logits": 0.0,
    "reconstruct.final_means_rate": 1.0,
    # "colour (RGB)"
    "reconstruct.harmonics_degree": 0,
    "reconstruct.neutral_corrections": False,
    "reconstruct.refine_cameras": False,
    # "iterations 500-5000 every 100, threshold 2e-4"
    "reconstruct.densify.grow": "all",
    "reconstruct.densify.start": 500,
    "reconstruct.densify.stop": 5000,
    "reconstruct.densify.every": 100,
    "reconstruct.densify.gradient_threshold": 2e-4,
    # "clone when max scale <= 0.01 R, else split in two; prune opacity < 0.005 (< 0.25 at 5000), from 3000 on also
    # scale > 0.1 R; one opacity reset at 3000"
    "reconstruct.densify.clone_scale": 0.01,
    "reconstruct.densify.prune_opacity": 0.005,
    "reconstruct.densify.final_prune_opacity": 0.25,
    "reconstruct.densify.prune_scale": 0.1,
    "reconstruct.densify.prune_scale_start": 3000,
    "reconstruct.densify.reset_opacity_at": 3000,
    # later timesteps: "x + (x - x_prev), the quaternion likewise, 2,000 iterations", no stage before, the same rates
    "follow.views_per_step": 1,
    "follow.prediction": "linear",
    "follow.freeze_background": False,
    "follow.rigid.clusters": 0,
    "follow.free.steps": 2000,
    "follow.free.means_rate": 1.6e-4,
    "follow.free.rotations_rate": 1e-3,
    "follow.free.final_rate": 1.0,
    # "the k = 20 nearest neighbours", x and q of the previous timestep, lengths in metres, quaternions as tracked
    "follow.priors.neighbors": 20,
    "follow.regroup": False,
    "follow.priors.reference": "previous",
    "follow.priors.length_unit_m": 1.0,
    "follow.priors.tracked_rotation": 1.0,
    # "N Gaussians", found at the first timestep
    "follow.births.enabled": False,
    # whole pictures and the scene's own cloud
    "image_scale": 1.0,
    "use_cloud": True,
    "motion_masks": True,
}
"""Setting to published value, with the statement it comes from."""

WITHOUT_EFFECT = {
    "follow.births.": "nothing is born",
    "follow.rigid.": "no clusters",
    "follow.search.": "nothing is looked for",
    "follow.priors.sigma_neighbors": "sigma_m is given",
    "follow.priors.floor": "a place in the scene",
    "reconstruct.densify.maximum": "beyond what the protocol reaches",
    "reconstruct.rates.harmonics": "there are none",
    "reconstruct.rates.turns": "cameras stay",
    "reconstruct.seed.": "the start is another matter",
    "device": "where",
    "threads": "where",
    "seed": "any",
}
"""Settings that the protocol says nothing about, and why."""


def flat(settings: dict, prefix: str = "") -> dict:
    result = {}
    for name, value in settings.items():
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return result


def test_paper_is_the_published_protocol():
    settings = flat(asdict(PAPER))
    assert {name: settings[name] for name in PROTOCOL} == PROTOCOL


def test_paper_weighs_pairs_as_the_code_and_the_text_of_the_paper_do():
    """exp(-2000 d^2) under a square root, sigma 2.2 cm; without the root, as its formula says, it would be 1.6 cm."""
    sigma = PAPER.follow.priors.sigma_m
    distance = 0.03
    assert np.exp(-0.5 * (distance / sigma) ** 2) == pytest.approx(np.sqrt(np.exp(-2000.0 * distance**2)), rel=1e-12)
    assert round(100.0 * sigma, 1) == 2.2


def test_no_setting_of_paper_is_left_unsaid():
    said = {*PROTOCOL, "follow.priors.sigma_m"}
    unsaid = {name for name in flat(asdict(PAPER)) if not name.startswith(tuple(WITHOUT_EFFECT))} - said
    assert unsaid == set()


def test_constants_of_both_presets_are_the_published_ones():
    assert window.L1_SHARE == 0.8  # "0.8 L1 + 0.2 (1 - SSIM)"
    assert (2 * window.RADIUS + 1, window.SIGMA_PX) == (11, 1.5)
    assert (SPLIT_SHRINK, RESET_OPACITY) == (1.6, 0.01)  # Kerbl et al. 2023


def shortened(config: TrackConfig) -> TrackConfig:
    """Few steps, every stage reached: densification at steps 8 and 16, an opacity reset where there was one."""
    reset = 16 if config.reconstruct.densify.reset_opacity_at else 0
    densify = replace(
        config.reconstruct.densify, start=8, stop=16, every=8, prune_scale_start=16, reset_opacity_at=reset
    )
    rigid = replace(config.follow.rigid, steps=4, first_steps=4)
    return replace(
        config,
        reconstruct=replace(config.reconstruct, steps=20, densify=replace(densify, final_prune_opacity=0.009)),
        follow=replace(config.follow, rigid=rigid, free=replace(config.follow.free, steps=5)),
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_run_from_start_to_end(preset, recording: Recording):
    states = list(track(recording, shortened(PRESETS[preset])))
    assert [state.timestep for state in states] == [0, 1, 2]
    for state in states:
        assert np.isfinite(state.psnr) and np.isfinite(state.gaussians.means).all()
        for name in ("log_scales", "colors", "opacity_logits", "foreground"):
            np.testing.assert_array_equal(getattr(state.gaussians, name), getattr(states[0].gaussians, name))
        assert (state.gaussians.means != states[0].gaussians.means).any() == (state.timestep > 0)


def test_momentum_of_the_presets_is_the_prior_that_saturates(recording: Recording):
    """And it does something: at the third timestep, the first that has a velocity."""
    config = shortened(PRESETS["fast"])

    def means(weight: float, *priors: Prior) -> list[np.ndarray]:
        of_priors = replace(config.follow.priors, momentum=weight)
        changed = replace(config, follow=replace(config.follow, priors=of_priors))
        return [state.gaussians.means for state in track(recording, changed, priors=priors)]

    built_in, without = means(1e-3), means(0.0)
    for got, expected in zip(built_in, means(0.0, MomentumPrior(1e-3, limit=1.0)), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert (built_in[1] == without[1]).all() and (built_in[2] != without[2]).any()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (lambda: FollowConfig(views_per_step=0), r"^follow\.views_per_step: expected at least 1, got 0$"),
        (lambda: FollowConfig(rigid=RigidConfig(clusters=0)), r"^follow\.rigid\.clusters: expected at least 1 for a"),
        (lambda: RigidConfig(clusters=-1), r"^follow\.rigid\.clusters: expected at least 0, got -1$"),
        (lambda: RigidConfig(first_steps=-5), r"^follow\.rigid\.first_steps: expected at least 0, got -5$"),
        (lambda: RigidConfig(final_rate=0.0), r"^follow\.rigid\.final_rate: expected more than 0, got 0\.0$"),
        (lambda: FreeConfig(means_rate=-1.0), r"^follow\.free\.means_rate: expected at least 0, got -1\.0$"),
        (lambda: PriorConfig(rigidity=-1.0), r"^follow\.priors\.rigidity: expected at least 0, got -1\.0$"),
        (lambda: PriorConfig(isometry=np.nan), r"^follow\.priors\.isometry: expected at least 0, got nan$"),
        (lambda: PriorConfig(sigma_m=0.0), r"^follow\.priors\.sigma_m: expected more than 0, got 0\.0$"),
        (lambda: PriorConfig(tracked_rotation=1.5), r"^follow\.priors\.tracked_rotation: expected a share"),
        (lambda: PriorConfig(floor=(0.0, 0.0, 2.0, 1.0)), r"^follow\.priors\.floor: expected a unit normal"),
        (lambda: FollowConfig(mask_weight=-3.0), r"^follow\.mask_weight: expected at least 0, got -3\.0$"),
        (lambda: FreeConfig(steps=0), r"^follow\.free\.steps: expected at least 1, got 0$"),
        (lambda: TrackConfig(image_scale=0.0), r"^image_scale: expected more than 0 and at most 4, got 0\.0$"),
        (lambda: replace(PAPER.reconstruct, steps=0), r"^reconstruct\.steps: expected at least 1, got 0$"),
        (lambda: replace(PAPER.reconstruct, without_cloud=0.5), r"^reconstruct\.without_cloud: .*, got 0\.5$"),
        (lambda: replace(PAPER.reconstruct, views_per_step=0), r"^reconstruct\.views_per_step: expected at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        settings()
