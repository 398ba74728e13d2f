"""The whole line once: pictures in, tracks, measures, pictures and USD out.

Tracks a built-in scene with exact ground truth and asserts how well. Results replace those of an earlier demo.

    python examples/00_demo.py                  # tumble, in demo/
    python examples/00_demo.py arm --output demo_arm
    python examples/00_demo.py --quick          # a few small pictures, to see whether everything runs
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
import warp as wp
from tqdm import tqdm

from scenes import BUILT_IN, SyntheticOptions
from usd_export import export_usd
from warpgs.evaluate import Report, evaluate, table
from warpgs.render import Renderer
from warpgs.run import Run
from warpgs.track import PRESETS, TrackConfig, track
from warpgs.types import Scene, Tracks
from warpgs.view import foreground_center, orbit, render_views, save_picture, save_views, strip


@dataclass(frozen=True)
class Demo:
    """Track a built-in scene, measure it, draw it, export it."""

    scene: tyro.conf.Positional[str] = "tumble"
    """Name of a built-in scene."""
    output: Path = Path("demo")
    """Folder for the results."""
    quick: bool = False
    """Few timesteps of small pictures, few steps; shows that everything runs, not how well."""


def main(demo: Demo) -> None:
    """Run the demo and assert its result."""
    start = time.perf_counter()
    wp.config.log_level = wp.LOG_ERROR
    scene, config = (quick_scene(demo.scene), quick_config()) if demo.quick else (full_scene(demo.scene), full_config())
    with Run.create(demo.output / "run", scene, config, overwrite=True) as run:
        follow(scene, config, run)
    tracks, renderer = run.tracks(), Renderer(config.device, config.threads)
    report = evaluate(run, scene, renderer)
    paths = draw(scene, tracks, renderer, demo.output)
    paths["USD"] = export_usd(tracks, demo.output / f"{demo.scene}.usdc", overwrite=True)
    (demo.output / "report.json").write_text(report.to_json(), encoding="utf-8")
    print(table(report))
    print("\n".join(f"{name:>12}: {path}" for name, path in paths.items()))
    print(f"{time.perf_counter() - start:.0f} s in all")
    check(report, paths, demo.quick)


def full_scene(name: str) -> Scene:
    """A built-in scene as it is."""
    return BUILT_IN[name](SyntheticOptions())


def full_config() -> TrackConfig:
    """The preset a user starts with."""
    return PRESETS["fast"]


def quick_scene(name: str) -> Scene:
    """The same bodies and motion, few small pictures."""
    return BUILT_IN[name](
        SyntheticOptions(
            width=128, height=72, timesteps=3, train_cameras=8, test_cameras=2, samples=1,
            cloud_background=3000, cloud_foreground=2000,
        )
    )  # fmt: skip


def quick_config() -> TrackConfig:
    """The same stages, few steps."""
    fast = PRESETS["fast"]
    rigid = replace(fast.follow.rigid, clusters=20, steps=20, first_steps=60)
    return replace(
        fast,
        reconstruct=replace(fast.reconstruct, steps=150),
        follow=replace(fast.follow, rigid=rigid, free=replace(fast.follow.free, steps=20)),
    )


def follow(scene: Scene, config: TrackConfig, run: Run) -> None:
    """Track all timesteps with a progress bar."""
    with tqdm(total=scene.timestep_count, desc=f"track {scene.name}", unit="timestep", dynamic_ncols=True) as bar:

        def show(timestep: int, step: int, step_count: int, psnr: float) -> None:
            bar.set_postfix_str(f"timestep {timestep}, step {step}/{step_count}, {psnr:.1f} dB")

        for state in track(scene, config, run=run, progress=show):
            bar.update()
            bar.set_postfix_str(f"timestep {state.timestep}, {state.psnr:.1f} dB, {state.seconds:.1f} s")


def draw(scene: Scene, tracks: Tracks, renderer: Renderer, output: Path) -> dict[str, Path]:
    """Held-out views, an orbit, and a strip of truth above render; the paths by what they show."""
    held_out = [scene.cameras("test", timestep) for timestep in tracks.timesteps]
    circle = orbit(scene.cameras("train"), foreground_center(tracks), len(tracks))
    shown = sorted({0, len(tracks) // 2, len(tracks) - 1})
    truth = [scene.frame(tracks.timesteps[index], "test").images[0] for index in shown]
    rendered = [pictures[0] for pictures in render_views(tracks, renderer, [views[:1] for views in held_out])]
    save_picture(output / "strip.png", strip([truth, [rendered[index] for index in shown]]))
    return {
        "strip": output / "strip.png",
        "video": save_views(tracks, renderer, held_out, output / "held_out.mp4", overwrite=True),
        "orbit": save_views(tracks, renderer, [(camera,) for camera in circle], output / "orbit.mp4", overwrite=True),
        "pictures": save_views(tracks, renderer, held_out, output / "held_out", overwrite=True),
    }


def check(report: Report, paths: dict[str, Path], quick: bool) -> None:
    """Assert what the demo is meant to show."""
    assert all(path.exists() for path in paths.values()), paths
    assert report.held_out and report.space is not None
    assert np.isfinite(report.psnr) and report.seconds_per_timestep > 0.0
    if quick:
        return
    assert report.psnr >= 28.0, f"held-out PSNR {report.psnr:.2f} dB"
    assert report.space.mte_mean <= 0.01, f"3D error {100 * report.space.mte_mean:.2f} cm"
    assert report.space.survival == 1.0, f"survival {100 * report.space.survival:.1f} %"
    assert report.space.rotation_median_deg <= 5.0, f"rotation error {report.space.rotation_median_deg:.2f} degrees"


if __name__ == "__main__":
    main(tyro.cli(Demo))
