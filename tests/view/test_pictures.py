"""Pictures, videos and strips."""

from dataclasses import replace
from itertools import pairwise

import av
import matplotlib
import numpy as np
import pytest
from PIL import Image

from tests.evaluate.test_trajectories import make_tracks
from tests.view.test_paths import make_camera
from warpgs.render import Picture, Renderer
from warpgs.view import plot_cameras, render_views, save_picture, save_views, strip
from warpgs.view.pictures import DepthRange, depth_range, to_pixels
from warpgs.view.video import tile, write_video


@pytest.fixture(scope="module")
def renderer():
    return Renderer(device="cpu", threads=1)


@pytest.fixture
def tracks():
    """Two red particles that move apart over four instants, numbered 3 to 6."""
    means = np.zeros((4, 2, 3))
    means[:, 0, 0] = [0.1, 0.2, 0.3, 0.4]
    means[:, 1, 0] = [-0.1, -0.2, -0.3, -0.4]
    still = make_tracks(means, timesteps=(3, 4, 5, 6))
    return replace(still, colors=np.array([[1.0, 0, 0]] * 2, np.float32), opacity_logits=np.full(2, 6.0, np.float32))


@pytest.fixture
def views():
    return [(make_camera([2, 0, 1], "east"), make_camera([0, 2, 1], "north"))] * 4


def make_picture(**channels) -> Picture:
    blank = {"color": np.zeros((2, 2, 3)), "foreground": np.zeros((2, 2))}
    blank |= {"depth": np.zeros((2, 2)), "alpha": np.zeros((2, 2))}
    return Picture(**{name: np.asarray(value, np.float32) for name, value in (blank | channels).items()})


def test_color_is_clipped_and_rounded():
    color = np.zeros((2, 2, 3))
    color[0, 0] = [-1.0, 0.5, 2.0]
    assert to_pixels(make_picture(color=color), "color", DepthRange(1, 2))[0, 0].tolist() == [0, 128, 255]


def test_mask_is_gray():
    pixels = to_pixels(make_picture(foreground=[[0, 1], [0.2, 0]]), "mask", DepthRange(1, 2))
    assert pixels[..., 0].tolist() == [[0, 255], [51, 0]]
    assert (pixels == pixels[..., :1]).all()


def test_depth_divides_by_alpha_draws_near_red_and_far_blue_and_nothing_black():
    pixels = to_pixels(
        make_picture(depth=[[0.5, 4.0], [0.0, 3.0]], alpha=[[0.5, 1.0], [0.0, 1.0]]), "depth", DepthRange(1.0, 4.0)
    )
    turbo = (np.asarray(matplotlib.colormaps["turbo"](np.array([1.0, 0.0, 1 / 3])))[:, :3] * 255).round()
    np.testing.assert_allclose(pixels[[0, 0, 1], [0, 1, 1]], turbo, atol=2)
    assert pixels[0, 0, 0] > pixels[0, 0, 2] and pixels[0, 1, 2] > pixels[0, 1, 0]
    assert pixels[1, 0].tolist() == [0, 0, 0]


def test_depth_range_spans_what_the_cameras_see_only():
    camera = make_camera([0, -2, 0])
    means = np.array([[[0, 0, 0], [0, 1, 0], [0, -3, 0], [50, 0, 0]]], float)  # two seen, one behind, one beside
    found = depth_range([camera], means[0])
    assert (found.near, found.far) == pytest.approx((2.01, 2.99))


def test_save_views_names_pictures_by_camera_and_timestep(tracks, views, renderer, tmp_path):
    calls = []
    output = save_views(tracks, renderer, views, tmp_path / "out", progress=lambda *call: calls.append(call))
    names = sorted(str(path.relative_to(output)) for path in output.rglob("*.png"))
    assert names == [f"{camera}/{t:06d}.png" for camera in ("east", "north") for t in (3, 4, 5, 6)]
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    expected = to_pixels(renderer.view(tracks.at(2), views[2][1]), "color", DepthRange(0, 1))
    np.testing.assert_array_equal(np.asarray(Image.open(output / "north" / "000005.png")), expected)
    assert expected[..., 0].max() > 100 and expected[..., 1:].max() < 10


def test_save_views_refuses_an_existing_output_unless_asked(tracks, views, renderer, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="--overwrite"):
        save_views(tracks, renderer, views, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    save_views(tracks, renderer, views, tmp_path / "out", overwrite=True)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 8


def test_save_views_refuses_a_folder_where_a_video_goes(tracks, views, renderer, tmp_path):
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(FileExistsError, match="same kind"):
        save_views(tracks, renderer, views, tmp_path / "a.mp4", overwrite=True)


@pytest.mark.parametrize("name", ["out.avi", "out.png", "out.v2"])
def test_save_views_refuses_unknown_suffixes_before_drawing(tracks, views, tmp_path, name):
    with pytest.raises(ValueError, match=r"\.mp4 or \.gif"):
        save_views(tracks, None, views, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../up", "a/b", "..", ""])
def test_save_views_refuses_camera_names_that_leave_the_folder(tracks, renderer, tmp_path, name):
    with pytest.raises(ValueError, match="rename the camera"):
        save_views(tracks, renderer, [(make_camera([2, 0, 1], name),)] * 4, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_save_views_refuses_views_of_another_length(tracks, views, renderer, tmp_path):
    with pytest.raises(ValueError, match="the cameras of 4 instants, got 3"):
        save_views(tracks, renderer, views[:3], tmp_path / "out")


def test_mp4_plays_every_instant_at_the_right_rate_with_even_sides(tracks, views, renderer, tmp_path):
    odd = [tuple(camera.resized(95, 53) for camera in cameras) for cameras in views]
    save_views(replace(tracks, fps=12.5), renderer, odd, tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == pytest.approx(12.5)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert [frame.shape for frame in frames] == [(52, 190, 3)] * 4


def test_mp4_keeps_colors(tmp_path):
    colors = [(200, 30, 30), (30, 200, 30), (40, 60, 220), (128, 128, 128)]
    write_video(tmp_path / "a.mp4", (np.full((64, 64, 3), color, np.uint8) for color in colors), 30.0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    np.testing.assert_allclose([frame[32, 32] for frame in frames], colors, atol=6)


def test_gif_holds_every_instant(tracks, views, renderer, tmp_path):
    save_views(tracks, renderer, views, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 4 and image.size == (192, 54)
        assert image.info["loop"] == 0


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_video_that_fails_half_way_leaves_nothing(tmp_path, suffix):
    def pictures():
        yield np.zeros((16, 16, 3), np.uint8)
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_video(tmp_path / f"a{suffix}", pictures(), 30.0)
    assert not list(tmp_path.iterdir())


def test_video_bits_do_not_depend_on_the_run(tmp_path):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (5, 32, 48, 3), dtype=np.uint8)
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, iter(pictures), 30.0)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(("count", "grid"), [(1, (1, 1)), (2, (1, 2)), (4, (2, 2)), (5, (2, 3)), (27, (5, 6))])
def test_tile_shows_every_picture_once(count, grid):
    pictures = [np.full((4, 6, 3), i + 1, np.uint8) for i in range(count)]
    sheet = tile(pictures)
    assert sheet.shape == (grid[0] * 4, grid[1] * 6, 3)
    values, areas = np.unique(sheet[..., 0][sheet[..., 0] > 0], return_counts=True)
    assert values.tolist() == list(range(1, count + 1)) and set(areas) == {24}


def test_strip_puts_rows_below_each_other_with_a_white_gap():
    a, b = np.zeros((5, 7, 3), np.uint8), np.full((5, 7, 3), 9, np.uint8)
    sheet = strip([[a, a, a], [b, b, b]])
    assert sheet.shape == (5 * 2 + 4, 7 * 3 + 8, 3)
    assert (sheet[:5, :7] == 0).all() and (sheet[9:, 22:] == 9).all()
    assert (sheet[5:9] == 255).all() and (sheet[:, 7:11] == 255).all()


def test_save_picture_is_lossless_and_leaves_no_debris(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    save_picture(tmp_path / "a" / "b.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a" / "b.png")), picture)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.png"]


def test_plot_cameras_draws_train_and_test(tmp_path):
    train = [make_camera([2, i, 1], f"t{i}") for i in range(3)]
    plot_cameras(tmp_path / "with.png", train, [make_camera([-2, 0, 1])], None, "title")
    plot_cameras(tmp_path / "without.png", train, [], None, "title")
    with_test, without = (
        np.asarray(Image.open(tmp_path / f"{n}.png").convert("RGB"), int) for n in ("with", "without")
    )
    orange = [int((np.abs(p - [255, 127, 14]).sum(axis=2) < 30).sum()) for p in (with_test, without)]
    assert orange[0] > 50 and orange[1] == 0


def test_save_views_draws_each_instant_from_its_own_particles(tracks, views, renderer, tmp_path):
    save_views(tracks, renderer, views, tmp_path / "out")
    pictures = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "out" / "north").iterdir())]
    # Seen from the north the two particles part sidewards.
    columns = [np.flatnonzero((picture[..., 0] > 60).any(axis=0)) for picture in pictures]
    assert all(np.ptp(after) > np.ptp(before) for before, after in pairwise(columns))


def test_normals_are_unit_vectors_as_colors_and_nothing_is_black():
    normals = np.zeros((2, 2, 3))
    normals[0, 0], normals[0, 1], normals[1, 0] = [0.3, 0, 0], [0, -1, 0], [0, 0.6, 0.8]
    picture = make_picture(normals=normals, alpha=[[0.5, 1], [1, 0]])
    pixels = to_pixels(picture, "normals", DepthRange(1, 2))
    expected = [[[255, 128, 128], [128, 0, 128]], [[128, 204, 230], [0, 0, 0]]]
    np.testing.assert_allclose(pixels, expected, atol=1)
    with pytest.raises(ValueError, match="one with normals"):
        to_pixels(make_picture(), "normals", DepthRange(1, 2))


def test_slow_motion_draws_the_times_between_and_numbers_pictures(tracks, views, renderer, tmp_path):
    times = [0.0, 0.5, 1.0]
    save_views(tracks, renderer, views[:3], tmp_path / "out", times=times)
    assert sorted(path.name for path in (tmp_path / "out" / "north").iterdir()) == [f"{i:06d}.png" for i in range(3)]
    between = replace(tracks, means=(tracks.means[:1] + tracks.means[1:2]) / 2, timesteps=(0,))
    expected = to_pixels(renderer.view(between.at(0), views[0][1]), "color", DepthRange(0, 1))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "north" / "000001.png")), expected)
    with pytest.raises(ValueError, match="cameras of 3 instants"):
        save_views(tracks, renderer, views, tmp_path / "other", times=times)


def test_rendered_normals_face_the_camera(tracks, renderer):
    camera = make_camera([0, -2, 0])
    flat = replace(
        tracks, log_scales=np.log(np.array([[0.3, 0.01, 0.3]] * 2, np.float32)), rotations_wxyz=tracks.rotations_wxyz
    )
    (picture,) = next(iter(render_views(flat, renderer, [(camera,)] * 4, "normals")))
    np.testing.assert_allclose(picture[27, 48], [128, 0, 128], atol=3)
