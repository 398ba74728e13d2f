"""What is painted at one instant from one side is there at every instant from every side."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenes.synthetic import perfect_tracks
from tests.reference.photometric import ssim
from tests.tracks_by_hand import front_camera
from tests.tracks_by_hand import make_tracks as make_simple
from warpgs.edit import paint, split
from warpgs.query.geometry import project
from warpgs.render import Renderer

EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "10_paint.py"))


@pytest.fixture(scope="module")
def die():
    """Tracks and poses of the example's die, and a letter on one of its faces as a camera sees it."""
    scene = EXAMPLE["make_scene"]()
    poses = scene.ground_truth().world_from_body[:, 0]
    camera = EXAMPLE["make_camera"](np.array([0.3, -2.0, 0.9]), poses[0, :3, 3])
    face = poses[0, :3, :3] @ EXAMPLE["FACE"] + poses[0, :3, 3]
    return perfect_tracks(scene), poses, camera, EXAMPLE["paint_letter"](project(face[None], camera)[0][0])


@pytest.mark.parametrize("eye", [(0.9, -1.7, 0.3), (1.5, -1.1, 0.6)])
def test_a_letter_is_legible_at_the_last_timestep_from_another_camera(die, eye):
    tracks, poses, camera, painting = die
    painted = paint(tracks, painting, camera)
    other = EXAMPLE["make_camera"](poses[-1, :3, 3] + eye, poses[-1, :3, 3])
    seen = Renderer("cpu", 1).view(painted.at(-1), other).color
    truth = EXAMPLE["warp"](painting, camera, poses[0], other, poses[-1])
    shows = truth[..., 3] > 0.999
    wanted = np.where(shows[..., None], truth[..., :3], seen)
    similarity = np.stack([ssim(wanted[..., i], seen[..., i]) for i in range(3)], axis=-1)[shows].mean()
    assert shows.sum() > 1000 and similarity >= 0.8


def test_only_the_painted_face_changes(die):
    tracks, poses, camera, painting = die
    painted = paint(tracks, painting, camera, detail=0)
    local = (tracks.means[0] - poses[0, :3, 3]) @ poses[0, :3, :3]
    changed = (painted.colors != tracks.colors).any(axis=1)
    assert changed.sum() > 200 and (local[changed, 1] < -0.24).all()
    for name in ("means", "rotations_wxyz", "log_scales", "opacity_logits"):
        assert getattr(painted, name) is getattr(tracks, name)


def test_only_what_is_coarser_than_half_a_pixel_is_cut():
    """Two plates side by side, of flat particles of 0.7 and 0.3 pixels."""
    plate = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 50), [0.0], np.linspace(-0.4, 0.4, 40)), -1).reshape(-1, 3)
    beside = np.array([0.7, 0.0, 0.0])
    tracks = make_simple(np.concatenate([plate - beside, plate + beside])[None])
    sizes_px = np.repeat([0.7, 0.3], len(plate))
    pixel_m = 2.0 / front_camera().intrinsics[0, 0]
    tracks = replace(
        tracks,
        log_scales=np.log(sizes_px[:, None] * pixel_m * [1.0, 0.2, 1.0]).astype(np.float32),
        opacity_logits=np.full(len(sizes_px), 4.0, np.float32),
    )
    painting = np.zeros((100, 200, 4))
    painting[30:70] = [1.0, 0.0, 0.0, 1.0]
    counts, fine = [], np.float32(np.log(0.3 * pixel_m))
    for detail in range(3):
        painted = paint(tracks, painting, front_camera(), detail=detail)
        counts.append(len(painted.foreground))
        assert (painted.log_scales.max(axis=1) == fine).sum() == len(plate)
    under_paint = (paint(tracks, painting, front_camera(), detail=0).colors != tracks.colors).any(axis=1)
    coarse = int((under_paint & (sizes_px > 0.5)).sum())
    assert coarse > 500 and (under_paint & (sizes_px < 0.5)).sum() > 500
    assert counts == [len(sizes_px), len(sizes_px) + 3 * coarse, counts[1]]  # 0.7 px become 0.46 px


def test_paint_covers_and_half_paint_covers_half():
    wall = np.stack(np.meshgrid(np.linspace(-1.5, 1.5, 90), [0.0], np.linspace(-0.8, 0.8, 50)), -1).reshape(1, -1, 3)
    tracks = make_simple(wall, sigma=0.03)
    tracks = replace(
        tracks, harmonics=np.full((4500, 3, 3), 0.2, np.float32), opacity_logits=np.full(4500, 6, np.float32)
    )
    painting = np.zeros((100, 200, 4))
    painting[:, :80] = [1.0, 0.0, 0.0, 1.0]
    painting[:, 120:] = [0.0, 0.0, 1.0, 0.5]
    painted = paint(tracks, painting, front_camera(), detail=0)
    x = wall[0, :, 0]
    left, right, middle = (x > -1.4) & (x < -0.6), (x < 1.4) & (x > 0.6), np.abs(x) < 0.2
    np.testing.assert_allclose(painted.colors[left], np.tile([1, 0, 0], (left.sum(), 1)), atol=1e-6)
    np.testing.assert_allclose(painted.colors[right], np.tile([0.25, 0.25, 0.75], (right.sum(), 1)), atol=1e-6)
    np.testing.assert_array_equal(painted.colors[middle], tracks.colors[middle])
    np.testing.assert_allclose(painted.harmonics[left], 0.0, atol=1e-7)
    np.testing.assert_allclose(painted.harmonics[right], 0.1, atol=1e-6)


def test_what_is_hidden_is_not_painted():
    wall = np.stack(np.meshgrid(np.linspace(-1, 1, 60), [0.0, 0.6], np.linspace(-0.5, 0.5, 40)), -1).reshape(1, -1, 3)
    tracks = make_simple(wall, sigma=0.03)
    tracks.opacity_logits[:] = 6.0
    painting = np.ones((100, 200, 4))
    painting[..., :2] = 0.0
    painting[:, :80, 3] = painting[:, 120:, 3] = 0.0
    changed = (paint(tracks, painting, front_camera(), detail=0).colors != tracks.colors).any(axis=1)
    assert changed.any() and not changed[wall[0, :, 1] > 0.3].any()


def test_split_keeps_the_picture_and_the_births():
    rng = np.random.default_rng(0)
    rotations = rng.normal(size=(2, 30, 4))
    rotations /= np.linalg.norm(rotations, axis=2, keepdims=True)
    tracks = make_simple(rng.uniform(-0.4, 0.4, (2, 30, 3)), rotations=rotations, sigma=(0.02, 0.1, 0.06))
    tracks = replace(tracks, birth=(np.arange(30) >= 20).astype(np.int32), opacity_logits=np.full(30, -4.0, np.float32))
    chosen = np.arange(30) % 2 == 0
    cut = split(tracks, chosen)
    assert len(cut.birth) == 75 and (np.diff(cut.birth) >= 0).all() and (cut.birth == 1).sum() == 25
    parents = np.repeat(np.arange(30), np.where(chosen, 4, 1))
    for t in range(2):  # four move about the middle of the one, with its spread along the longer axes
        for parent in (0, 8):
            children = np.flatnonzero(parents == parent)
            np.testing.assert_allclose(cut.means[t, children].mean(axis=0), tracks.means[t, parent], atol=1e-6)
    sizes = np.exp(cut.log_scales[parents == 0][0])
    np.testing.assert_allclose(sizes, [0.02, 0.1 * np.sqrt(1 - 0.75**2), 0.06 * np.sqrt(1 - 0.75**2)], rtol=1e-5)


def test_unfit_paintings_are_refused():
    tracks, camera = make_simple([[[0.0, 0.0, 0.0]]]), front_camera()
    with pytest.raises(ValueError, match=r"painting: expected shape \[100, 200, 4\]"):
        paint(tracks, np.zeros((100, 200, 3)), camera)
    with pytest.raises(ValueError, match="divide bytes by 255"):
        paint(tracks, np.full((100, 200, 4), 255.0), camera)
    with pytest.raises(ValueError, match="numbers from 0 to 1"):
        paint(tracks, np.full((100, 200, 4), np.nan), camera)
    with pytest.raises(ValueError, match="expected some paint"):
        paint(tracks, np.zeros((100, 200, 4)), camera)
    corner = np.zeros((100, 200, 4))
    corner[:5, :5] = 1.0
    with pytest.raises(ValueError, match="paint on nothing"):
        paint(tracks, corner, camera)
    with pytest.raises(ValueError, match="detail: expected a whole number from 0 to 4"):
        paint(tracks, np.ones((100, 200, 4)), camera, detail=5)
