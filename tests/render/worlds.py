"""Small worlds of Gaussians seen by one camera each, and what the rasterizer makes of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import warp as wp
from scipy.spatial.transform import Rotation

from tests.reference.rasterize import Drawing, Parameters, rasterize
from warpgs.math.pinhole import upload_views
from warpgs.particles import Particles
from warpgs.render.channels import CHANNELS
from warpgs.render.rasterizer import Rasterizer
from warpgs.types import Camera

NEAR = 0.2
AWAY = 1e-4
"""Pixels are compared where every logarithm that meets a threshold is this far from it."""


@dataclass(frozen=True)
class World:
    """Gaussians and the camera that sees them."""

    parameters: Parameters
    camera: Camera
    antialiased: bool = False

    def with_parameters(self, **changes: np.ndarray) -> "World":
        return replace(self, parameters=self.parameters | changes)

    def draw(self) -> Drawing:
        """What the oracle says."""
        return rasterize(self.parameters, self.camera, NEAR, antialiased=self.antialiased)


@dataclass(frozen=True)
class Driver:
    """Where and how a rasterizer runs."""

    device: str
    portable: bool

    def rasterizer(
        self, world: World, *, channels: int | tuple[str, ...] = 6, dtype: type = wp.float64, **options
    ) -> Rasterizer:
        """A number of channels means the first so many; the world's features follow."""
        count, camera = len(world.parameters["means"]), world.camera
        channels = CHANNELS[:channels] if isinstance(channels, int) else channels
        features = world.parameters["features"].shape[1] if "features" in world.parameters else 0
        options = {"device": self.device, "portable": self.portable, "dtype": dtype, **options}
        options["antialiased"] = world.antialiased
        return Rasterizer(count, camera.width, camera.height, channels=channels, features=features, **options)

    def render(self, world: World, **options) -> Rasterizer:
        """A rasterizer that has just drawn ``world``."""
        rasterizer = self.rasterizer(world, **options)
        dtype = rasterizer.dtype
        particles, views = self.particles(world, dtype), self.views(world, dtype)
        rasterizer.render(particles, views, self.first_view(), features=self.features(world, dtype))
        return rasterizer

    def gradients(
        self, world: World, adj_image: np.ndarray, *, active_count: int | None = None, **options
    ) -> Parameters:
        """Gradient of sum(adj_image * image) by every parameter of the first ``active_count`` particles.

        The channels are the first so many, unless they are given.
        """
        rasterizer = self.render(world, **{"channels": len(adj_image), **options})
        dtype = rasterizer.dtype
        particles, views = self.particles(world, dtype), self.views(world, dtype)
        gradients = particles.zeros_like(active_count)
        features = self.features(world, dtype)
        adj_features = None if features is None else wp.zeros_like(features)
        adj = wp.array(adj_image, dtype=dtype, device=self.device)
        rasterizer.backward(particles, views, self.first_view(), adj, gradients, adj_features=adj_features)
        return to_numpy(gradients) | ({} if adj_features is None else {"features": adj_features.numpy()})

    def particles(self, world: World, dtype: type = wp.float64) -> Particles:
        harmonics = world.parameters["harmonics"].shape[1] if "harmonics" in world.parameters else 0
        particles = Particles.zeros(len(world.parameters["means"]), self.device, dtype, harmonics=harmonics)
        for name, array in particles.named().items():
            array.assign(world.parameters[name])
        return particles

    def features(self, world: World, dtype: type = wp.float64) -> wp.array | None:
        """What the particles of ``world`` show beyond CHANNELS."""
        if "features" not in world.parameters:
            return None
        return wp.array(world.parameters["features"], dtype=dtype, device=self.device)

    def zeros(self, world: World, dtype: type = wp.float64) -> Particles:
        """A gradient of all particles."""
        return self.particles(world, dtype).zeros_like()

    def views(self, world: World, dtype: type = wp.float64) -> wp.array:
        return upload_views([world.camera], NEAR, self.device, dtype)

    def first_view(self) -> wp.array:
        """Index of the only view."""
        return wp.zeros(1, dtype=wp.int32, device=self.device)


def to_numpy(particles: Particles) -> Parameters:
    return {name: array.numpy().copy() for name, array in particles.named().items()}


def look_at(
    eye: tuple[float, float, float],
    *,
    width: int = 70,
    height: int = 41,
    focal: tuple[float, float] = (60.0, 60.0),
    principal: tuple[float, float] | None = None,
    roll_deg: float = 0.0,
    target: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Camera:
    """A camera at ``eye`` [m] that looks at ``target``, z up, turned about its axis by ``roll_deg``."""
    forward = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, :3] @= Rotation.from_euler("z", roll_deg, degrees=True).as_matrix()
    pose[:3, 3] = eye
    cx, cy = principal if principal is not None else (width / 2, height / 2)
    k = np.array([[focal[0], 0.0, cx], [0.0, focal[1], cy], [0.0, 0.0, 1.0]])
    return Camera("0", width, height, k, pose)


def axis_camera(width: int = 70, height: int = 41, focal: float = 60.0) -> Camera:
    """A camera in the origin whose frame is the world's: z is exactly the depth."""
    k = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    return Camera("0", width, height, k, np.eye(4))


def random_parameters(
    seed: int, count: int, *, spread: float = 0.5, log_scale: float = -2.3, opacity_logit: float = 0.0
) -> Parameters:
    """Gaussians about the origin, quaternions of any length; random in every parameter."""
    rng = np.random.default_rng(seed)
    return {
        "means": rng.normal(size=(count, 3)) * spread,
        "rotations": rng.normal(size=(count, 4)) * rng.uniform(0.3, 3.0, (count, 1)),
        "log_scales": log_scale + 0.5 * rng.normal(size=(count, 3)),
        "colors": rng.uniform(-0.2, 1.2, (count, 3)),
        "opacity_logits": opacity_logit + 1.5 * rng.normal(size=count),
        "foreground_logits": 2.0 * rng.normal(size=count),
    }


def one_gaussian(mean, scales, *, opacity_logit=2.0, rotation=(0.0, 0.0, 0.0, 1.0)) -> Parameters:
    return {
        "means": np.array([mean], float),
        "rotations": np.array([rotation], float),
        "log_scales": np.log([scales]),
        "colors": np.array([[0.9, 0.5, 0.1]]),
        "opacity_logits": np.array([opacity_logit], float),
        "foreground_logits": np.array([0.7]),
    }


def with_more(world: World, *, harmonics: int = 0, features: int = 0) -> World:
    """The same with random harmonics and features."""
    rng, count = np.random.default_rng(8), len(world.parameters["means"])
    more = {}
    if harmonics:
        more["harmonics"] = 0.3 * rng.normal(size=(count, harmonics, 3))
    if features:
        more["features"] = rng.normal(size=(count, features))
    return world.with_parameters(**more)


def fine() -> World:
    """Antialiased: most particles are about as large as a pixel or smaller."""
    world = World(random_parameters(9, 150, log_scale=-4.3, opacity_logit=2.0), look_at((0.3, -2.0, 0.4)))
    return replace(world, antialiased=True)


def parallel(world: World) -> World:
    """Seen by an orthographic camera of about the same field of view."""
    k = np.array(world.camera.intrinsics)
    k[:2, :2] *= 0.5
    return replace(world, camera=replace(world.camera, intrinsics=k, orthographic=True))


def first_rows(parameters: Parameters, count: int) -> Parameters:
    return {name: array[:count] for name, array in parameters.items()}


def upright() -> World:
    return World(random_parameters(1, 40), look_at((0.0, -2.0, 0.3)))


def rolled() -> World:
    """Focal lengths that differ, a principal point off center, a camera turned about all its axes; some particles lie
    behind it."""
    camera = look_at((1.2, 0.9, 0.7), width=83, height=50, focal=(80.0, 65.0), principal=(40.3, 17.8), roll_deg=37.0)
    parameters = random_parameters(2, 60, spread=0.8)
    parameters["means"][:5] += camera.center_world * 1.5
    return World(parameters, camera)


def wide() -> World:
    """Most centers lie outside the picture, many beyond the clamp of the Jacobian, and still reach into it."""
    parameters = random_parameters(3, 40, log_scale=-0.9)
    rng = np.random.default_rng(4)
    depth = rng.uniform(0.5, 2.0, 40)
    slope = rng.uniform(0.3, 1.0, (40, 2)) * rng.choice([-1.0, 1.0], (40, 2)) * [3.6, 2.2]
    parameters["means"] = np.column_stack([slope * depth[:, None], depth])
    return World(parameters, axis_camera(66, 35, focal=20.0))


def dense() -> World:
    """Opaque: splats are cut to 0.99 and pixels stop."""
    parameters = random_parameters(5, 60, log_scale=-1.8, opacity_logit=4.0)
    parameters["log_scales"][:6] += 0.7
    parameters["opacity_logits"][:6] = 7.0
    return World(parameters, look_at((-2.0, 1.0, -1.0)))


WORLDS: dict[str, Callable[[], World]] = {"upright": upright, "rolled": rolled, "wide": wide, "dense": dense}


def assert_pictures(rasterizer: Rasterizer, expected: Drawing, atol: float) -> None:
    """All channels and the transmittance, wherever no decision is close."""
    away = expected.margin > AWAY
    assert away.mean() > 0.9
    expected_image = expected.of(rasterizer.channels)
    scale = np.maximum(1.0, expected_image.max(axis=(1, 2), initial=0.0, keepdims=True))
    error = np.abs(rasterizer.image.numpy() - expected_image) / scale
    assert np.where(away, error, 0.0).max() <= atol
    assert np.where(away, np.abs(rasterizer.transmittance.numpy() - expected.transmittance), 0.0).max() <= atol
