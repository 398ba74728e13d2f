"""Gaussian splatting in float64 NumPy, written from the formulas: EWA projection (Zwicker et al. 2001), compositing
front to back (Kerbl et al. 2023). No tiles, no boxes: every Gaussian is asked at every pixel."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from warpgs.types import Camera

CHANNELS = (
    *("red", "green", "blue", "foreground", "background", "depth"),
    *("normal_x", "normal_y", "normal_z"),
)
LOW_PASS_PX2 = 0.3
JACOBIAN_CLAMP = 1.3  # half fields of view
ALPHA_MIN = 1.0 / 255.0
ALPHA_MAX = 0.99
TRANSMITTANCE_MIN = 1e-4

Parameters = dict[str, np.ndarray]
"""means [n, 3], rotations x, y, z, w [n, 4] of any length, log_scales [n, 3], colors [n, 3], opacity_logits [n],
foreground_logits [n]; where wanted, harmonics [n, 3, 8 or 15, 3] and features [n, f]; float64."""


@dataclass(frozen=True)
class Splats:
    """Gaussians in the image plane, all of them, front to back."""

    index: np.ndarray  # into the parameters, [m]; those behind the near plane are left out
    centers: np.ndarray  # [px, the first pixel's center is 0.5], [m, 2]
    covariances: np.ndarray  # [px^2], [m, 2, 2]
    opacities: np.ndarray  # [m]
    features: np.ndarray  # CHANNELS, then the features, [m, c]
    clamped: np.ndarray  # the Jacobian is taken at the clamped slope, [m, 2]


@dataclass(frozen=True)
class Drawing:
    """An image and what happened in it."""

    image: np.ndarray  # CHANNELS, then the features, [c, height, width]
    transmittance: np.ndarray  # [height, width]
    margin: np.ndarray  # smallest distance of a decision from its threshold, of the logarithm, [height, width]
    capped: np.ndarray  # a splat was cut to ALPHA_MAX, [height, width]
    stopped: np.ndarray  # [height, width]
    median: np.ndarray  # Gaussian at which the transmittance first falls to 1/2 or less, -1 where none, [height, width]
    median_margin: np.ndarray  # smallest distance of a transmittance from 1/2, of the logarithm, [height, width]
    visibility: np.ndarray  # per Gaussian, sums over the pixels of alpha >= ALPHA_MIN and of drawn T alpha, [n, 2]

    def of(self, channels: tuple[str, ...]) -> np.ndarray:
        """Some of CHANNELS, then all features."""
        return self.image[[*map(CHANNELS.index, channels), *range(len(CHANNELS), len(self.image))]]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def harmonics(directions: np.ndarray, count: int) -> np.ndarray:
    """The first ``count`` real spherical harmonics of degree 1, 2, 3 at unit vectors, shape [n, count]: sqrt(2) times
    the imaginary (m < 0) and real (m > 0) part of Y_l^|m|, Condon and Shortley's phase included."""
    polar, azimuth = np.arccos(np.clip(directions[:, 2], -1.0, 1.0)), np.arctan2(directions[:, 1], directions[:, 0])
    columns = []
    for degree in (1, 2, 3):
        for order in range(-degree, degree + 1):
            value = sph_harm_y(degree, abs(order), polar, azimuth)
            columns.append(np.sqrt(2.0) * value.imag if order < 0 else np.sqrt(2.0 if order else 1.0) * value.real)
    return np.stack(columns, axis=1)[:, :count]


def normals(rotations: np.ndarray, log_scales: np.ndarray, sight: np.ndarray) -> np.ndarray:
    """The shortest axis of each Gaussian against its line of sight, [m, 3]."""
    axis = np.take_along_axis(rotations, np.argmin(log_scales, axis=1)[:, None, None], axis=2)[:, :, 0]
    return np.where(np.sum(axis * sight, axis=1, keepdims=True) > 0.0, -axis, axis)


def project(parameters: Parameters, camera: Camera, near: float, *, antialiased: bool = False) -> Splats:
    """Sigma' = J W Sigma W^T J^T + 0.3 I, with J the derivative of the projection at the center.

    ``antialiased``: the opacity falls by sqrt(det(J W Sigma W^T J^T) / det Sigma').
    """
    pose, k = camera.camera_from_world, camera.intrinsics
    focal, principal = k[[0, 1], [0, 1]], k[:2, 2]
    points = parameters["means"] @ pose[:3, :3].T + pose[:3, 3]
    # equal depths keep their order; the sort sees them in float32
    order = np.argsort(points[:, 2].astype(np.float32), kind="stable")
    order = order[points[order, 2] >= near]
    x, y, z = points[order].T
    limit = JACOBIAN_CLAMP * 0.5 * np.array([camera.width, camera.height]) / focal
    slopes = np.stack([x / z, y / z], axis=1)
    taken = np.clip(slopes, -limit, limit)

    jacobian = np.zeros((len(order), 2, 3))
    for axis in range(2):
        jacobian[:, axis, axis] = focal[axis] / z
        jacobian[:, axis, 2] = -focal[axis] * taken[:, axis] / z
    if camera.orthographic:
        slopes = taken = np.stack([x, y], axis=1)
        jacobian[:] = [[focal[0], 0.0, 0.0], [0.0, focal[1], 0.0]]
    rotation = Rotation.from_quat(parameters["rotations"][order].reshape(-1, 4)).as_matrix()
    axes = rotation * np.exp(parameters["log_scales"][order])[:, None, :]
    spread = jacobian @ pose[:3, :3] @ axes
    share = parameters["foreground_logits"][order]
    sight = parameters["means"][order] - camera.center_world
    if camera.orthographic:
        sight = np.broadcast_to(camera.world_from_camera[:3, 2], sight.shape)
    colors = parameters["colors"][order]
    if "harmonics" in parameters:
        coefficients = parameters["harmonics"][order]
        directions = sight / np.linalg.norm(sight, axis=1, keepdims=True)
        colors = colors + np.einsum("nk,nkc->nc", harmonics(directions, coefficients.shape[1]), coefficients)
    channels = [colors, sigmoid(share), sigmoid(-share), z, normals(rotation, parameters["log_scales"][order], sight)]
    narrow = spread @ spread.transpose(0, 2, 1)
    covariances = narrow + LOW_PASS_PX2 * np.eye(2)
    opacities = sigmoid(parameters["opacity_logits"][order])
    if antialiased:
        opacities = opacities * np.sqrt(np.linalg.det(narrow) / np.linalg.det(covariances))
    return Splats(
        index=order,
        centers=focal * slopes + principal,
        covariances=covariances,
        opacities=opacities,
        features=np.column_stack([*channels, parameters.get("features", np.zeros((len(points), 0)))[order]]),
        clamped=taken != slopes,
    )


def rasterize(parameters: Parameters, camera: Camera, near: float, *, antialiased: bool = False) -> Drawing:
    """Composite every Gaussian over every pixel: C = sum_i c_i a_i prod_{j<i} (1 - a_j)."""
    splats = project(parameters, camera, near, antialiased=antialiased)
    shape = (camera.height, camera.width)
    image, transmittance = np.zeros((splats.features.shape[1], *shape)), np.ones(shape)
    margin, capped, stopped = np.full(shape, np.inf), np.zeros(shape, bool), np.zeros(shape, bool)
    xs, ys = np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5
    median, median_margin = np.full(shape, -1), np.full(shape, np.inf)
    visibility = np.zeros((len(parameters["means"]), 2))
    for index, center, covariance, opacity, feature in zip(
        splats.index, splats.centers, splats.covariances, splats.opacities, splats.features, strict=True
    ):
        (a, b), (_, c) = np.linalg.inv(covariance)
        dx, dy = xs[None, :] - center[0], ys[:, None] - center[1]
        log_alpha = np.log(opacity) - 0.5 * (a * dx * dx + 2.0 * b * dx * dy + c * dy * dy)
        alpha = np.minimum(np.exp(log_alpha), ALPHA_MAX)
        visible = ~stopped & (alpha >= ALPHA_MIN)
        left = transmittance * (1.0 - alpha)
        stops = visible & (left < TRANSMITTANCE_MIN)
        drawn = visible & ~stops

        to_threshold = np.abs(log_alpha - np.log(ALPHA_MIN))
        to_cap = np.abs(log_alpha - np.log(ALPHA_MAX))
        to_stop = np.where(visible, np.abs(np.log(left / TRANSMITTANCE_MIN)), np.inf)
        nearest = np.minimum(np.minimum(to_threshold, to_cap), to_stop)
        margin = np.where(stopped, margin, np.minimum(margin, nearest))

        weight = np.where(drawn, transmittance * alpha, 0.0)
        image += weight * feature[:, None, None]
        visibility[index] = np.sum(alpha[alpha >= ALPHA_MIN]), np.sum(weight)
        median[drawn & (transmittance > 0.5) & (left <= 0.5)] = index
        median_margin = np.where(drawn, np.minimum(median_margin, np.abs(np.log(left / 0.5))), median_margin)
        capped |= drawn & (log_alpha > np.log(ALPHA_MAX))
        transmittance = np.where(drawn, left, transmittance)
        stopped |= stops
    return Drawing(image, transmittance, margin, capped, stopped, median, median_margin, visibility)
