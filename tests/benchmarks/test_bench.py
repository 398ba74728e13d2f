import json

import numpy as np
import pytest
import warp as wp

from warpgs.bench import BenchConfig
from warpgs.bench.clouds import cameras, surfaces
from warpgs.bench.gpu import gpu_rows
from warpgs.bench.limit import DISTINCT, ROWS, Limit, limit_backward_kernel, limit_forward_kernel
from warpgs.bench.step import RATES, Step, View
from warpgs.bench.timing import thread_ms
from warpgs.cli import main
from warpgs.render.channels import COLOR, COLOR_MASK

COLUMNS = 16
TINY = ("--counts", "60", "--size", "40", "24", "--repeats", "1", "--device", "cpu")
CPU_ROWS = (
    "compositing forward over the limit, 60 particles",
    "compositing backward over the limit, 60 particles",
    "whole raster over the limit, 60 particles",
    "6 channels over 3, whole raster",
    "L1 + D-SSIM 40x24x3 over compositing",
    "neighbor priors over compositing",
    "two cameras on two threads, speed-up",
    "two cameras on two threads, speed-up where two cores are free",
    "whole step over its compositing",
    "Python and launches, eager",
    "Python and launches, captured",
)


def test_verb_prints_and_writes_a_row_of_each_kind(tmp_path, capsys):
    path = tmp_path / "figures" / "bench.json"
    assert main(["bench", *TINY, "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    written = json.loads(path.read_text())
    assert {"processor", "cores", "GPU", "versions", "peers", "peers not installed"} <= set(written["machine"])
    rows = {row["name"]: row for row in written["rows"]}
    assert all(name in printed for name in rows)
    for name in CPU_ROWS:
        assert 0.0 < rows[name]["value"] < np.inf
    gpu = [row for name, row in rows.items() if "200000 particles" in name]
    assert len(gpu) == 11
    assert all(row["value"] is None and row["note"] == "not measured (no CUDA device)" for row in gpu)
    assert (rows["neighbor priors over compositing"]["must"], rows["neighbor priors over compositing"]["goal"]) == (
        0.7,
        0.4,
    )


def test_verb_keeps_an_existing_file(tmp_path, capsys):
    path = tmp_path / "bench.json"
    path.write_text("mine")
    assert main(["bench", *TINY, "--json", str(path)]) == 1
    assert "--overwrite" in capsys.readouterr().err and path.read_text() == "mine"


def test_rows_of_a_gpu_are_filled_wherever_they_run(device):
    config = BenchConfig(gpu_count=60, gpu_sizes=((40, 24), (64, 36)), gpu_cameras=3, repeats=1)
    rows = gpu_rows(config, device)
    measured = {row.name: row.value for row in rows if "gsplat" not in row.name}
    assert len(rows) == 11 and all(value > 0.0 for value in measured.values())


@pytest.mark.parametrize(("count", "blocks"), [(20_000, 805_000), (100_000, 1_943_000)])
def test_clouds_have_the_blocks_that_the_limits_were_set_for(count, blocks):
    view = View(surfaces(count), 640, 360, COLOR)
    assert view.block_count() == pytest.approx(blocks, rel=0.01)


def test_clouds_look_alike_in_pictures_of_every_width():
    small, large = surfaces(300), surfaces(300, width=1280)
    np.testing.assert_array_equal(small.means, large.means)
    np.testing.assert_allclose(small.log_scales - large.log_scales, np.log(2.0), atol=1e-5)


def test_blocks_are_counted_as_one_would_by_hand():
    view = View(surfaces(80), 40, 24, COLOR)
    records = view.rasterizer.records.numpy().astype(np.float64)
    touched = 0
    for x, y, *_, half_width, half_height in records[records[:, 6] >= 0.0][:, :8]:
        columns = {c // 8 for c in range(40) if abs(c + 0.5 - x) <= half_width}
        touched += len(columns) * sum(abs(row + 0.5 - y) <= half_height for row in range(24))
    assert view.block_count() == touched > 0


def test_step_changes_poses_alone_and_clears_their_gradients():
    view = View(surfaces(60), 40, 24, COLOR_MASK)
    before = {name: array.numpy().copy() for name, array in view.particles.named().items()}
    step = Step(view)
    step.run()
    for name, array in view.particles.named().items():
        assert np.array_equal(array.numpy(), before[name]) == (name not in RATES)
    assert not any(getattr(view.gradients, name).numpy().any() for name in RATES)


def test_cameras_look_into_the_room_side_by_side():
    first, second = cameras(2, 640, 360)
    assert first.intrinsics[0, 0] == 520.0 and second.center_world[0] > first.center_world[0]


def test_times_are_medians_of_every_stage():
    calls = []
    ms = thread_ms({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 4 and set(ms) == {"a", "b"} and all(value >= 0.0 for value in ms.values())


def limit_sums(kernel: wp.Kernel) -> float:
    """What a limit kernel returns for each of its splats once, added up."""
    limit, out = Limit(), wp.zeros(8, dtype=float, device="cpu")
    wp.launch(kernel, 1, [limit._splats, limit._planes, DISTINCT], [out], device="cpu")
    return float(out.numpy().astype(np.float64).sum())


def limit_oracle(backward: bool) -> float:
    """The same in float64, pixel by pixel as compositing is defined."""
    limit = Limit()
    splats = limit._splats.numpy().astype(np.float64).reshape(-1, 8)
    planes = limit._planes.numpy().astype(np.float64).reshape(4, 32, 64)
    x, y = np.meshgrid(np.arange(COLUMNS), np.arange(ROWS))
    light, live = np.ones((ROWS, COLUMNS)), np.ones((ROWS, COLUMNS), bool)
    color, behind, total = planes[:3, :ROWS, :COLUMNS].copy(), planes[3, :ROWS, :COLUMNS].copy(), 0.0
    upstream = color.copy()
    for a, b, c, red, green, blue, cy, cx in splats:
        dx, dy = x - cx, y - cy
        power = 2.0 ** (a * dx**2 + b * dx * dy + c * dy**2 - 1.0)
        alpha = np.minimum(power, 0.99)
        seen = live & (alpha >= 1.0 / 255.0)
        drawn = seen & (light * (1.0 - alpha) > 1e-4)
        share = np.where(drawn, light * alpha, 0.0)
        color += share * np.array([red, green, blue])[:, None, None]
        pull = np.einsum("c,cyx->yx", [red, green, blue], upstream)
        behind -= share * pull
        gradient = np.where(drawn & (power < 0.99), alpha * (light * pull - behind / (1.0 - alpha)), 0.0)
        moments = 1.0 + dx + dy + dx * dx + dx * dy + dy * dy
        total += (gradient * moments).sum() + (share * upstream.sum(axis=0)).sum()
        live &= drawn | ~seen
        light = np.where(drawn, light - share, light)
    if backward:
        return total
    rest = planes[:3, :ROWS].sum() - planes[:3, :ROWS, :COLUMNS].sum() + ROWS * (64 - COLUMNS)
    return color.sum() + rest + np.where(live, light, -light).sum()


@pytest.mark.parametrize(("kernel", "backward"), [(limit_forward_kernel, False), (limit_backward_kernel, True)])
def test_limit_does_the_arithmetic_of_compositing(kernel, backward):
    assert limit_sums(kernel) == pytest.approx(limit_oracle(backward), rel=1e-3)
