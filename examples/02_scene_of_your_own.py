"""Make a scene: bodies, their motion, cameras. Its ground truth is exact, so whatever is built on it can be measured.

The tracker is imagined here: a particle on every true surface point that follows its body perfectly, or that moves with
the body's center but does not turn. The measures must find no error in the first and tell the second.

    python examples/02_scene_of_your_own.py
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from scenes.synthetic import Pattern, SyntheticOptions, SyntheticScene, Texture, ball, box
from warpgs.evaluate.scores import SURVIVAL_M, THRESHOLDS_M, TrackScore, score
from warpgs.evaluate.trajectories import errors_in_space
from warpgs.types import GroundTruth, Tracks

TIMESTEPS = 8
TURN_DEG = 10.0
"""Both bodies turn by this much from frame to frame [deg]."""


def make_scene() -> SyntheticScene:
    """A die that spins and drifts, and a ball that rolls around it, in a round room."""
    paint = Texture(Pattern.CHECKER, 0.06, ((0.9, 0.2, 0.1), (0.95, 0.9, 0.3), (0.1, 0.2, 0.7)))
    wool = Texture(Pattern.STRIPES, 0.04, ((0.1, 0.6, 0.3), (0.9, 0.9, 0.9), (0.6, 0.1, 0.5)), seed=1)
    bodies = (box("die", (0.4, 0.4, 0.4), paint), ball("ball", 0.15, wool))
    poses = np.tile(np.eye(4), (TIMESTEPS, 2, 1, 1))
    for timestep in range(TIMESTEPS):
        turn = Rotation.from_euler("z", TURN_DEG * timestep, degrees=True)
        poses[timestep, :, :3, :3] = turn.as_matrix()
        poses[timestep, 0, :3, 3] = [0.03 * timestep, 0.0, 0.5]
        poses[timestep, 1, :3, 3] = turn.apply([0.8, 0.0, 0.15])
    options = SyntheticOptions(
        width=96, height=54, timesteps=TIMESTEPS, train_cameras=6, test_cameras=1, cloud_background=500
    )
    return SyntheticScene("die", bodies, poses, options)


def imagine_tracks(scene: SyntheticScene, truth: GroundTruth, turning: bool) -> Tracks:
    """A particle on every true point. Without turning, it keeps its place relative to the body's center."""
    means, rotations = truth.points, truth.rotations_wxyz
    if not turning:
        centers = truth.world_from_body[:, :, :3, 3][:, truth.body_index]
        means = (truth.points[:1] + centers - centers[:1]).astype(np.float32)
        rotations = np.repeat(rotations[:1], len(means), axis=0)
    count = means.shape[1]
    return Tracks(
        means=means,
        rotations_wxyz=rotations,
        log_scales=np.full((count, 3), np.log(0.01), np.float32),
        colors=np.full((count, 3), 0.5, np.float32),
        opacity_logits=np.zeros(count, np.float32),
        foreground=np.ones(count, np.float32),
        timesteps=tuple(range(TIMESTEPS)),
        fps=scene.fps,
        source_from_world=scene.source_from_world,
        camera_names=(),
        camera_log_gains=np.zeros((0, 3), np.float32),
        camera_offsets=np.zeros((0, 3), np.float32),
    )


def measure(tracks: Tracks, truth: GroundTruth) -> TrackScore:
    """Figures over all tracks."""
    return score([errors_in_space(tracks, truth)], THRESHOLDS_M, SURVIVAL_M)


def main() -> None:
    """Make the scene and measure both trackers."""
    scene = make_scene()
    frame = scene.frame(TIMESTEPS - 1)
    assert frame.masks is not None and all(mask.any() for mask in frame.masks)

    truth = scene.ground_truth()
    perfect = measure(imagine_tracks(scene, truth, turning=True), truth)
    assert perfect.unassigned == 0 and perfect.mte_mean < 1e-6
    assert perfect.rotation_mean_deg < 0.05 and perfect.survival == 1.0

    blind = measure(imagine_tracks(scene, truth, turning=False), truth)
    assert blind.mte_mean > 0.02  # off-center points are left behind
    median_turn = TURN_DEG * TIMESTEPS / 2  # over the instants 1 ... 7
    np.testing.assert_allclose(blind.rotation_median_deg, median_turn, atol=0.05)
    for name, figures in (("perfect", perfect), ("does not turn", blind)):
        print(f"{name:>14}: {100 * figures.mte_mean:.2f} cm, {figures.rotation_median_deg:.1f} degrees")


if __name__ == "__main__":
    main()
