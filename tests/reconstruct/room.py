"""A room whose pictures are exact: a ball over a floor inside a sphere, all with the same texture of space."""

from __future__ import annotations

import numpy as np

from warpgs.types import Camera, Frame

BALL_CENTER = np.array([0.1, -0.1, 0.5])
BALL_RADIUS = 0.4
WALL_RADIUS = 5.0
BALL_TINT = np.array([1.0, 0.3, 0.2])


def texture(points: np.ndarray) -> np.ndarray:
    """RGB 0..1 of places in space, shape [n, 3]: plane waves, so that every camera sees the same spot the same way."""
    rng = np.random.default_rng(1)
    waves = rng.normal(size=(3, 12)) * 5.0
    value = np.sin(points @ waves + rng.uniform(0, 2 * np.pi, 12)) @ rng.normal(size=(12, 3))
    return 0.5 + 0.12 * np.clip(value, -4.0, 4.0)


def surface_distance(points: np.ndarray) -> np.ndarray:
    """Distance [m] to the floor or the wall, whichever is nearer."""
    return np.minimum(np.abs(points[:, 2]), np.abs(WALL_RADIUS - np.linalg.norm(points, axis=1)))


def ring_of_cameras(count: int, width: int, height: int) -> tuple[Camera, ...]:
    """Cameras around the ball, at two heights, looking at it."""
    cameras = []
    for i in range(count):
        turn = 2.0 * np.pi * i / count
        center = np.array([2.5 * np.cos(turn), 2.5 * np.sin(turn), 1.2 + 0.8 * (i % 2)])
        forward = BALL_CENTER - center
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
        pose[:3, 3] = center
        focal = 0.8 * width
        intrinsics = np.array([[focal, 0, 0.5 * width], [0, focal, 0.5 * height], [0, 0, 1]])
        cameras.append(Camera(f"cam{i:02d}", width, height, intrinsics, pose))
    return tuple(cameras)


def room_frame(count: int = 12, width: int = 160, height: int = 90, *, with_masks: bool = True) -> Frame:
    """Pictures and masks of the room, one ray per pixel."""
    cameras = ring_of_cameras(count, width, height)
    pictures = [_cast(camera) for camera in cameras]
    masks = tuple(mask for _, mask in pictures) if with_masks else None
    return Frame(0, 0.0, cameras, tuple(image for image, _ in pictures), masks)


def empty_room_depths(camera: Camera) -> np.ndarray:
    """Depth [m] along the optical axis of every pixel, shape [height, width], as if the ball were not there."""
    rays = _rays(camera)
    depth = _room_hit(camera.center_world, rays) * (rays @ camera.world_from_camera[:3, 2])
    return depth.reshape(camera.height, camera.width)


def _rays(camera: Camera) -> np.ndarray:
    """Unit vectors through the pixels, world frame, shape [n, 3]."""
    u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    pixels = np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3)
    rays = pixels @ np.linalg.inv(camera.intrinsics).T @ camera.world_from_camera[:3, :3].T
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def _room_hit(origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    wall = _sphere_hit(origin, rays, np.zeros(3), WALL_RADIUS)[1]
    floor = np.where(rays[:, 2] < 0.0, -origin[2] / np.minimum(rays[:, 2], -1e-12), np.inf)
    return np.minimum(wall, floor)


def _cast(camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    rays, origin = _rays(camera), camera.center_world
    room = _room_hit(origin, rays)
    ball = _sphere_hit(origin, rays, BALL_CENTER, BALL_RADIUS)[0]
    color = texture(origin + np.minimum(room, ball)[:, None] * rays)
    on_ball = ball < room
    color[on_ball] *= BALL_TINT
    shape = (camera.height, camera.width)
    image = np.round(np.clip(color, 0, 1) * 255).astype(np.uint8).reshape(*shape, 3)
    return image, (on_ball * 255).astype(np.uint8).reshape(shape)


def _sphere_hit(
    origin: np.ndarray, rays: np.ndarray, center: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Distances to a sphere where a ray enters and leaves it, infinite where it misses."""
    offset = origin - center
    half = rays @ offset
    square = half**2 - (offset @ offset - radius**2)
    root = np.sqrt(np.maximum(square, 0.0))
    return np.where(square > 0.0, -half - root, np.inf), np.where(square > 0.0, -half + root, np.inf)
