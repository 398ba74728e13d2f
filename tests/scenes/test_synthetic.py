from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from scenes import SyntheticOptions, SyntheticScene
from scenes.synthetic import Body, Pattern, Texture, ball, box, enter, hidden, rope, sheet, stack, tumble
from scenes.synthetic.raycast import LIFT, color_points, upload
from scenes.synthetic.shading import AMBIENT, DIRECT, LIGHT, SHADOW
from warpgs.types import Camera

TEXTURE = Texture(Pattern.CHECKER, 0.06, ((0.8, 0.1, 0.1), (0.1, 0.6, 0.2), (0.1, 0.2, 0.8)), seed=5)
OPTIONS = SyntheticOptions(
    width=96,
    height=54,
    timesteps=3,
    train_cameras=5,
    test_cameras=2,
    samples=1,
    cloud_background=600,
    cloud_foreground=300,
)
BALL_RADIUS = 0.25


def moved(x: float, y: float, z: float, *rotvec: float) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, 3] = x, y, z
    pose[:3, :3] = Rotation.from_rotvec(rotvec or (0.0, 0.0, 0.0)).as_matrix()
    return pose


POSES = np.array(
    [
        [moved(0.3, 0.1, 0.6, 0.3, -0.8, 0.2), moved(-0.4, -0.2, 0.5)],
        [moved(0.1, 0.3, 0.7, 0.5, -0.6, 0.4), moved(-0.2, -0.3, 0.4, 0.3, 0.0, 0.1)],
        [moved(-0.1, 0.5, 0.5, 0.7, -0.3, 0.9), moved(0.2, -0.3, 0.3, 0.6, 0.2, 0.1)],
    ]
)


def make(options: SyntheticOptions = OPTIONS, poses: np.ndarray = POSES, threads: int | None = None) -> SyntheticScene:
    bodies = [
        box("box", (0.5, 0.3, 0.2), TEXTURE),
        ball("ball", BALL_RADIUS, replace(TEXTURE, pattern=Pattern.STRIPES)),
    ]
    return SyntheticScene("two", bodies, poses, options, threads=threads)


@pytest.fixture(scope="module")
def scene():
    return make()


def pixel_rays(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Directions through pixel centers, z-depth 1, in the world and in the camera frame, shape [h, w, 3]."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    in_camera = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(camera.intrinsics).T
    return in_camera @ camera.world_from_camera[:3, :3].T, in_camera


def to_pixels(camera: Camera, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixel positions and depths of world points."""
    in_camera = points @ camera.camera_from_world[:3, :3].T + camera.camera_from_world[:3, 3]
    projected = in_camera @ camera.intrinsics.T
    return projected[:, :2] / projected[:, 2:], in_camera[:, 2]


def aimed(camera: Camera, point: np.ndarray) -> Camera:
    """A camera of one pixel whose center ray passes exactly through ``point``."""
    (x, y), _ = (values[0] for values in to_pixels(camera, point[None]))
    intrinsics = camera.intrinsics.copy()
    intrinsics[0, 2] += 0.5 - x
    intrinsics[1, 2] += 0.5 - y
    return replace(camera, width=1, height=1, intrinsics=intrinsics)


def outline_distance(camera: Camera, points: np.ndarray) -> np.ndarray:
    """Signed distance of pixel centers to the outline of a convex body's projection [px], negative inside."""
    pixels, _ = to_pixels(camera, points)
    planes = ConvexHull(pixels).equations
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    return (np.stack([x, y], axis=-1) @ planes[:, :2].T + planes[:, 2]).max(axis=-1)


def test_masks_are_the_projections_of_the_bodies(scene):
    for timestep in range(3):
        frame = scene.frame(timestep)
        for camera, mask in zip(frame.cameras, frame.masks, strict=True):
            distances = [
                outline_distance(camera, trimesh.transform_points(body.mesh.vertices, pose))
                for body, pose in zip(scene.bodies, POSES[timestep], strict=True)
            ]
            signed = np.minimum(*distances)
            sure = np.abs(signed) > 1e-3
            assert sure.mean() > 0.99 and (signed < 0.0).sum() > 50
            np.testing.assert_array_equal(mask[sure], np.where(signed < 0.0, 255, 0)[sure])


def test_antialiased_masks_are_the_mean_of_their_samples(scene):
    fine = make(replace(OPTIONS, samples=3)).frame(1).masks[0]
    camera = scene.cameras("train")[0].resized(3 * OPTIONS.width, 3 * OPTIONS.height)
    shares = []
    for body, pose in zip(scene.bodies, POSES[1], strict=True):
        shares.append(outline_distance(camera, trimesh.transform_points(body.mesh.vertices, pose)) < 0.0)
    hits = (shares[0] | shares[1]).reshape(OPTIONS.height, 3, OPTIONS.width, 3).sum(axis=(1, 3))
    assert len(np.unique(fine)) == 10
    np.testing.assert_array_equal(fine, np.floor(255.0 * hits / 9.0 + 0.5))


def test_depth_of_the_floor_is_the_plane(scene):
    camera = scene.cameras("train")[1]
    depth, (rays, _) = scene.depth(0, camera), pixel_rays(camera)
    plane = -camera.center_world[2] / rays[..., 2]
    landing = camera.center_world + plane[..., None] * rays
    on_floor = (plane > 0.0) & (np.linalg.norm(landing[..., :2], axis=-1) < 2.8) & (scene.frame(0).masks[1] == 0)
    assert on_floor.sum() > 1000
    np.testing.assert_allclose(depth[on_floor], plane[on_floor], rtol=1e-5)


def test_depth_of_a_ball_is_the_nearer_root(scene):
    camera = scene.cameras("train")[2]
    depth, (rays, _) = scene.depth(2, camera), pixel_rays(camera)
    offset = camera.center_world - POSES[2, 1, :3, 3]
    a, b, c = (rays**2).sum(axis=-1), rays @ offset, offset @ offset - BALL_RADIUS**2
    root = (-b - np.sqrt(np.maximum(b * b - a * c, 0.0))) / a
    facing = (b * b - a * c > 0.1 * b * b * BALL_RADIUS**2) & (depth < root + 0.02)
    assert facing.sum() > 30
    np.testing.assert_allclose(depth[facing], root[facing], atol=2e-3)


def test_a_point_is_visible_exactly_where_its_depth_is_that_of_its_pixel(scene):
    truth = scene.ground_truth()
    for timestep in (0, 2):
        for camera in (*scene.cameras("train"), *scene.cameras("test")):
            points = truth.points[timestep]
            pixels, z = to_pixels(camera, points)
            inside = ((pixels >= 0.0) & (pixels < [camera.width, camera.height])).all(axis=1) & (z > 0.0)
            depths = np.array([scene.depth(timestep, aimed(camera, point))[0, 0] for point in points])
            gap = (z - depths) * np.linalg.norm(points - camera.center_world, axis=1) / z
            sure = np.abs(gap - LIFT) > 1e-4
            visible = scene.visible(timestep, camera)
            assert visible.dtype == np.bool_ and 0.1 < visible.mean() < 0.9 and sure.mean() > 0.97
            np.testing.assert_array_equal(visible[sure], (inside & (gap < LIFT))[sure])
            assert np.abs(gap[visible]).max() < LIFT + 1e-4


def test_ground_truth_moves_with_its_body(scene):
    truth = scene.ground_truth()
    np.testing.assert_array_equal(truth.world_from_body, POSES)
    assert truth.body_names == ("box", "ball")
    np.testing.assert_array_equal(np.bincount(truth.body_index), [100, 100])
    owner = truth.body_index
    for timestep in range(3):
        poses = POSES[timestep, owner]
        local = np.einsum("nji,nj->ni", poses[:, :3, :3], truth.points[timestep] - poses[:, :3, 3])
        first = np.einsum("nji,nj->ni", POSES[0, owner, :3, :3], truth.points[0] - POSES[0, owner, :3, 3])
        np.testing.assert_allclose(local, first, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(local[owner == 1], axis=1), BALL_RADIUS, atol=1e-3)
        on_box = np.abs(np.abs(local[owner == 0]) - [0.25, 0.15, 0.1]).min(axis=1)
        np.testing.assert_allclose(on_box, 0.0, atol=1e-6)
        xyzw = np.roll(truth.rotations_wxyz[timestep], -1, axis=1)
        expected = poses[:, :3, :3] @ np.swapaxes(POSES[0, owner, :3, :3], 1, 2)
        np.testing.assert_allclose(Rotation.from_quat(xyzw).as_matrix(), expected, atol=1e-6)


def test_ground_truth_points_are_seen_twice_at_the_start(scene):
    seen = np.sum([scene.visible(0, camera) for camera in scene.cameras("train")], axis=0)
    assert seen.min() >= 2


@pytest.fixture(scope="module")
def flag() -> SyntheticScene:
    """A sheet that bends into a tube around the y axis and a rope that bends like it, in their exact shapes."""
    angle = np.linspace(-1.0, 1.0, 21)
    curves = np.array([0.01, 0.8, 1.6])[:, None]
    arcs = (
        np.stack([np.sin(curves * angle), np.zeros((3, 21)), np.cos(curves * angle) - 1.0], axis=-1) / curves[..., None]
    )
    grid = 0.3 * arcs[:, :, None] + np.array([0.0, 1.0, 0.0]) * np.linspace(-0.3, 0.3, 9)[:, None]
    bodies = [
        sheet("sheet", grid + np.array([0.0, 0.0, 0.8]), 0.01, TEXTURE),
        rope("rope", 0.3 * arcs + np.array([0.0, 0.6, 0.5]), 0.03, TEXTURE),
    ]
    return SyntheticScene("flag", bodies, np.tile(np.eye(4), (3, 2, 1, 1)), OPTIONS)


def test_deforming_bodies_are_closed_and_face_outward(flag):
    for body, volume in zip(
        flag.bodies, (0.6 * 0.6 * 0.01, 0.6 * 5.0 * np.sin(0.4 * np.pi / 2.0) * 0.03**2), strict=True
    ):
        assert [shape.is_watertight for shape in body.surfaces(3)] == [True] * 3
        np.testing.assert_allclose([shape.volume for shape in body.surfaces(3)], volume, rtol=0.03)


def test_truth_of_a_deforming_body_lies_on_the_rendered_surface(flag):
    truth = flag.ground_truth()
    np.testing.assert_array_equal(np.bincount(truth.body_index), [100, 100])
    for timestep in range(3):
        for camera in flag.cameras("train"):
            seen = np.flatnonzero(flag.visible(timestep, camera))[::7]
            points = truth.points[timestep, seen]
            depths = [flag.depth(timestep, aimed(camera, point))[0, 0] for point in points]
            np.testing.assert_allclose(depths, to_pixels(camera, points)[1], atol=1.1 * LIFT)


def test_truth_turns_with_the_patch_of_a_bending_sheet(flag):
    truth = flag.ground_truth()
    along = truth.points[0, :, 0] / 0.3
    for timestep, curve in enumerate((0.01, 0.8, 1.6)):
        expected = Rotation.from_rotvec(np.outer((curve - 0.01) * along, [0.0, 1.0, 0.0]))
        given = Rotation.from_quat(np.roll(truth.rotations_wxyz[timestep], -1, axis=1))
        error = np.degrees((given * expected.inv()).magnitude())
        inner = np.abs(along) < 0.97  # the rim and the ends of the rope lie across
        assert error[inner & (truth.body_index == 0)].max() < 2.5, "a facet of the sheet bends over 2.3 degrees"
        assert error[inner & (truth.body_index == 1)].max() < 6.0, "a ring of the rope over 4.6"


def test_textures_stick_to_a_deforming_body(flag):
    mesh = flag.bodies[0].mesh
    group, faces = upload(flag.bodies, np.tile(np.eye(4), (3, 2, 1, 1))), np.arange(len(mesh.faces))
    colors = []
    for timestep, surface in enumerate(flag.bodies[0].surfaces(3)):
        shaded = color_points(
            group, group, False, surface.triangles_center, np.zeros(len(faces), int), faces, timestep=timestep
        )
        gain = (AMBIENT + DIRECT * np.maximum(surface.face_normals @ np.array(LIGHT), 0.0))[:, None]
        colors.append(np.where(shaded < 1.0, shaded / gain, np.nan))
    assert np.nanstd(colors[0], axis=0).min() > 0.05 and np.isfinite(colors[0]).mean() > 0.99
    for later in colors[1:]:
        both = np.isfinite(later) & np.isfinite(colors[0])
        np.testing.assert_allclose(later[both], colors[0][both], atol=1e-4)


def test_plain_bodies_have_one_color():
    texture = replace(TEXTURE, pattern=Pattern.PLAIN)
    group = upload([box("box", (0.5, 0.3, 0.2), texture)], np.eye(4)[None, None])
    points = trimesh.sample.sample_surface(group_mesh := box("box", (0.5, 0.3, 0.2), texture).mesh, 50, seed=0)
    colors = color_points(group, group, False, points[0], np.zeros(50, int), points[1])
    gain = AMBIENT + DIRECT * np.maximum(group_mesh.face_normals[points[1]] @ np.array(LIGHT), 0.0)
    np.testing.assert_allclose(colors, gain[:, None] * np.array(texture.colors[0]), atol=1e-6)


def test_bodies_that_enter_have_truth_from_then_on():
    scene = enter(replace(OPTIONS, timesteps=16))
    names, late = scene.ground_truth().body_names, scene.truth_seen_at(15)
    assert set(np.unique(scene.ground_truth().body_index)) == {0, 1, 4}
    assert {names[index] for index in np.unique(late.body_index)} >= {"dropper", "parcel"}
    counts = np.sum([scene._see(15, camera, late.points[15]) for camera in scene.cameras("train")], axis=0)
    assert counts.min() >= 2 and late.points.shape[0] == 16


def test_stack_stands_at_the_start_falls_apart_and_leaves_the_book_alone():
    poses = stack(replace(OPTIONS, timesteps=30)).ground_truth().world_from_body
    heights = np.diff(poses[0, :3, 2, 3])
    np.testing.assert_allclose(heights, [0.21, 0.18], atol=1e-12)  # half of both: they touch
    gaps = np.linalg.norm(np.diff(poses[:, [0, 1, 2, 4], :3, 3], axis=1), axis=2)
    assert (gaps[-1] > 1.5 * gaps[0]).sum() >= 2
    np.testing.assert_allclose(poses[:, 3, :3, 3], np.broadcast_to(poses[0, 3, :3, 3], (30, 3)), atol=1e-3)


def test_hidden_body_is_out_of_every_camera_for_five_timesteps_and_comes_back():
    scene = hidden(replace(OPTIONS, timesteps=24, train_cameras=20))
    on_puck = scene.ground_truth().body_index == 0
    seen = [
        any(scene.visible(timestep, camera)[on_puck].any() for camera in scene.cameras("train"))
        for timestep in range(24)
    ]
    first, last = seen.index(False), 24 - seen[::-1].index(False)
    assert last - first == 5 and not any(seen[first:last]) and first > 8 and last < 20
    frame = scene.frame(first + 2)
    assert max(mask.max() for mask in frame.masks) == 255, "the others stay in view"


def test_broken_deformations_are_refused(flag):
    body = flag.bodies[0]
    for broken, rule in ((body.deformed[:2], r"expected shape \[3, "), (body.deformed + 0.1, "at timestep 0")):
        with pytest.raises(ValueError, match=f"flag: sheet: deformed: .*{rule}"):
            SyntheticScene("flag", [replace(body, deformed=broken)], np.tile(np.eye(4), (3, 1, 1, 1)), OPTIONS)


def test_background_outside_masks_never_changes_without_shadows():
    scene = make(replace(OPTIONS, shadows=False, samples=2))
    first, last = scene.frame(0), scene.frame(2)
    for i in range(OPTIONS.train_cameras):
        free = (first.masks[i] == 0) & (last.masks[i] == 0)
        assert free.mean() > 0.5
        np.testing.assert_array_equal(first.images[i][free], last.images[i][free])


def test_shadows_fall_where_the_ball_is_between_floor_and_light():
    alone = POSES.copy()
    alone[:, 0, :3, 3] = 0.0, 0.0, 50.0  # the box is far above, and its shadow far away
    lit, shaded = (make(replace(OPTIONS, shadows=on), alone) for on in (False, True))
    light, darkest = np.array(LIGHT), (AMBIENT + DIRECT * LIGHT[2] * (1.0 - SHADOW)) / (AMBIENT + DIRECT * LIGHT[2])
    for i, camera in enumerate(lit.cameras("train")):
        bright, dim = (scene.frame(0).images[i].astype(float) for scene in (lit, shaded))
        floor = camera.center_world + lit.depth(0, camera)[..., None] * pixel_rays(camera)[0]
        from_ball = floor - POSES[0, 1, :3, 3]
        distance = np.linalg.norm(from_ball - (from_ball @ light)[..., None] * light, axis=-1)
        on_floor = (np.abs(floor[..., 2]) < 1e-4) & (lit.frame(0).masks[i] == 0)
        inside, outside = on_floor & (distance < BALL_RADIUS - 0.01), on_floor & (distance > BALL_RADIUS + 0.001)
        assert inside.sum() > 30
        np.testing.assert_allclose(dim[inside], darkest * bright[inside], atol=0.51)
        np.testing.assert_array_equal(dim[outside], bright[outside])


@pytest.mark.parametrize("samples", [1, 2])
def test_pixels_do_not_depend_on_the_number_of_threads(samples):
    options = replace(OPTIONS, samples=samples, train_cameras=6)
    for timestep in (2, 0):
        one, many = (make(options, threads=threads).frame(timestep) for threads in (1, 5))
        np.testing.assert_array_equal(np.stack(one.images), np.stack(many.images))
        np.testing.assert_array_equal(np.stack(one.masks), np.stack(many.masks))


def test_seed_alone_decides_a_built_in_scene():
    options = replace(OPTIONS, timesteps=2)
    first, again, other = tumble(options), tumble(options), tumble(replace(options, seed=1))
    np.testing.assert_array_equal(np.stack(first.frame(1).images), np.stack(again.frame(1).images))
    np.testing.assert_array_equal(first.point_cloud().points, again.point_cloud().points)
    np.testing.assert_array_equal(first.ground_truth().points, again.ground_truth().points)
    assert not np.array_equal(np.stack(first.frame(1).images), np.stack(other.frame(1).images))


def test_frames_do_not_depend_on_what_was_read_before():
    scene = make()
    late = scene.frame(2)
    scene.frame(0)
    np.testing.assert_array_equal(np.stack(scene.frame(2).images), np.stack(late.images))
    np.testing.assert_array_equal(np.stack(make().frame(2).images), np.stack(late.images))


def test_textures_move_with_their_body():
    """The same points of a turned body differ by the gain of their light only."""
    turn = moved(0.1, 0.2, 0.0, 0.5, -0.3, 1.4)
    mesh = box("box", (0.5, 0.3, 0.2), TEXTURE).mesh
    faces = np.repeat(np.arange(len(mesh.faces)), 3)
    shares = np.random.default_rng(0).dirichlet([1.0, 1.0, 1.0], len(faces))
    local = np.einsum("fk,fki->fi", shares, mesh.triangles[faces])
    albedos = []
    for poses in (POSES, turn @ POSES):
        group = upload([Body("box", mesh, TEXTURE)], poses[:, :1])
        points = trimesh.transform_points(local, poses[0, 0])
        colors = color_points(group, group, False, points, np.zeros(len(faces), int), faces)
        facing = mesh.face_normals[faces] @ poses[0, 0, :3, :3].T @ np.array(LIGHT)
        albedos.append(colors / (AMBIENT + DIRECT * np.maximum(facing, 0.0))[:, None])
    assert albedos[0].std(axis=0).min() > 0.05
    np.testing.assert_allclose(albedos[0], albedos[1], atol=1e-4)


def test_cloud_lies_on_visible_surfaces_and_has_their_colors(scene):
    cloud = make(replace(OPTIONS, cloud_noise_m=0.0)).point_cloud()
    assert 300 < np.count_nonzero(~cloud.foreground) <= 600 and np.count_nonzero(cloud.foreground) == 300
    frame, chosen = scene.frame(0), np.arange(0, len(cloud.points), 9)
    seen, differences = np.zeros(len(chosen), int), []
    for camera, image in zip(frame.cameras, frame.images, strict=True):
        pixels, z = to_pixels(camera, cloud.points[chosen])
        inside = ((pixels >= 0.0) & (pixels < [camera.width, camera.height])).all(axis=1) & (z > 0.0)
        for k in np.flatnonzero(inside):
            clear = z[k] - scene.depth(0, aimed(camera, cloud.points[chosen[k]]))[0, 0] < LIFT
            seen[k] += clear
            if clear:
                pixel = image[int(pixels[k, 1]), int(pixels[k, 0])]
                differences.append(np.abs(pixel / 255.0 - cloud.colors[chosen[k]]).mean())
    assert seen.min() >= 2
    assert np.median(differences) < 0.04
    foreground = cloud.points[cloud.foreground]
    on_ball = np.abs(np.linalg.norm(foreground - POSES[0, 1, :3, 3], axis=1) - BALL_RADIUS) < 1e-3
    local = (foreground - POSES[0, 0, :3, 3]) @ POSES[0, 0, :3, :3]
    on_box = np.abs((np.abs(local) - [0.25, 0.15, 0.1]).max(axis=1)) < 1e-5
    assert (on_ball ^ on_box).all()


def test_cloud_noise_has_the_announced_size():
    exact, noisy = (make(replace(OPTIONS, cloud_noise_m=sigma)).point_cloud() for sigma in (0.0, 0.01))
    np.testing.assert_array_equal(exact.colors, noisy.colors)
    assert (noisy.points - exact.points).std() == pytest.approx(0.01, rel=0.05)


def test_scene_without_masks_and_cloud_has_none():
    scene = make(replace(OPTIONS, has_masks=False, has_cloud=False))
    assert scene.frame(0).masks is None and scene.point_cloud() is None


def test_room_is_closed_to_every_camera(scene):
    for camera in (*scene.cameras("train"), *scene.cameras("test")):
        assert scene.depth(0, camera).max() < 6.0


def test_dome_cameras_are_distinct_upright_and_look_at_the_middle(scene):
    cameras = (*scene.cameras("train"), *scene.cameras("test"))
    assert [camera.name for camera in cameras] == ["0", "1", "2", "3", "4", "5", "6"]
    scene.validate(range(3))
    centers = np.array([camera.center_world for camera in cameras])
    assert min(np.linalg.norm(a - b) for i, a in enumerate(centers) for b in centers[:i]) > 0.3
    for camera in cameras:
        pixels, z = to_pixels(camera, np.array([[0.0, 0.0, 0.34]]))
        np.testing.assert_allclose(pixels[0], [48.0, 27.0], atol=1e-9)
        assert z[0] == pytest.approx(2.5) and abs(camera.world_from_camera[2, 0]) < 1e-12


def test_broken_poses_are_refused():
    with pytest.raises(ValueError, match=r"two: world_from_body: expected shape \[3, 2, 4, 4\], got \[2, 2, 4, 4\]"):
        make(poses=POSES[:2])
    scaled = POSES.copy()
    scaled[1, 0, :3, :3] *= 1.1
    with pytest.raises(ValueError, match="world_from_body: expected rigid transforms"):
        make(poses=scaled)
    with pytest.raises(ValueError, match="world_from_body: expected finite numbers"):
        make(poses=np.where(POSES == 0.6, np.nan, POSES))


def test_timesteps_beyond_the_end_are_refused(scene):
    for read in (scene.frame, lambda t: scene.depth(t, scene.cameras("train")[0]), lambda t: scene.cameras("test", t)):
        for timestep in (-1, 3):
            with pytest.raises(ValueError, match="timesteps: expected from 0 to 2"):
                read(timestep)


@pytest.mark.parametrize(
    "change", [{"width": 0}, {"timesteps": 0}, {"train_cameras": 0}, {"samples": 0}, {"fps": 0.0}, {"fps": np.inf}]
)
def test_senseless_options_are_refused(change):
    with pytest.raises(ValueError, match=f"SyntheticOptions.{next(iter(change))}: expected"):
        SyntheticOptions(**change)


def test_a_body_far_from_the_picture_leaves_it_empty():
    away = POSES.copy()
    away[..., 2, 3] = 80.0
    scene = SyntheticScene("away", [Body("box", trimesh.creation.box((0.1, 0.1, 0.1)), TEXTURE)], away[:, :1], OPTIONS)
    assert not any(mask.any() for mask in scene.frame(0).masks)
    assert scene.ground_truth().points.shape == (3, 0, 3)
