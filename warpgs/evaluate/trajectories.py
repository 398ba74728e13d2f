"""How well particles follow points whose true motion is known, in space and in pictures. NumPy, float64.

A query point is assigned to a particle at the first tracked instant and carried by it, see ``warpgs.query.assign``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from warpgs.checks import refuse
from warpgs.evaluate.scores import TrackErrors
from warpgs.query.assign import assign, carry
from warpgs.query.geometry import angles_deg, conjugate, multiply, project
from warpgs.query.surface import lift
from warpgs.query.visibility import visible
from warpgs.types import Camera, GroundTruth, Tracks

NORMALIZED_SIZE_PX = 256.0
"""Pictures are rescaled to this width and height before distances in pixels are taken."""


@dataclass(frozen=True, eq=False)
class SpaceTracks:
    """True points and where their particles carry them."""

    truth: np.ndarray
    """Positions [m], world frame, shape [t, m, 3]."""
    carried: np.ndarray
    """Positions [m], world frame, shape [t, m, 3]."""
    rotation_deg: np.ndarray
    """Angle between the true rotation since the first instant and the particle's [deg], shape [t, m]."""
    assigned: np.ndarray
    """True where the query lies within 3 sigma of a particle, shape [m], bool."""
    particle: np.ndarray
    """The particle that carries each, shape [m]."""

    def errors(self) -> TrackErrors:
        """Distances [m] and rotation errors [deg]."""
        distance = np.linalg.norm(self.carried - self.truth, axis=2)
        return TrackErrors(
            distance[1:], self.rotation_deg[1:], self.assigned, np.arange(len(self.assigned)), called_visible=None
        )


@dataclass(frozen=True, eq=False)
class PictureTracks:
    """True points that one camera sees at the first instant, and where their particles carry its pixels."""

    camera: Camera
    """Whose picture it is; it does not move."""
    track: np.ndarray
    """The true track that each one should follow, shape [m]."""
    truth_px: np.ndarray
    """Positions [px], shape [t, m, 2]; NaN behind the camera."""
    carried_px: np.ndarray
    """Positions [px], shape [t, m, 2]; NaN behind the camera, and where the picture shows no surface to lift to."""
    truth_visible: np.ndarray
    """Whether the true point is visible, shape [t, m], bool."""
    called_visible: np.ndarray
    """Whether the run says so, see ``warpgs.query.visibility``; shape [t, m], bool."""
    assigned: np.ndarray
    """True where the query was lifted to within 3 sigma of a particle, shape [m], bool."""

    def errors(self) -> TrackErrors:
        """Distances in pixels after both axes are rescaled to 256, where the true point is visible."""
        rescale = NORMALIZED_SIZE_PX / np.array([self.camera.width, self.camera.height])
        distance = np.linalg.norm((self.carried_px - self.truth_px) * rescale, axis=2)
        distance[np.isnan(self.carried_px[..., 0])] = np.inf
        distance[~self.truth_visible] = np.nan
        return TrackErrors(distance[1:], None, self.assigned, self.track, self.called_visible[1:])


def follow_in_space(tracks: Tracks, truth: GroundTruth) -> SpaceTracks:
    """Follow every true track from the first instant of ``tracks``."""
    instants = list(tracks.timesteps)
    if max(instants) >= len(truth.points):
        refuse(
            "ground truth", f"at least {max(instants) + 1} timesteps", len(truth.points), "pass the scene of the run"
        )
    points = truth.points[instants].astype(np.float64)
    index, assigned = assign(points[0], tracks.at(0))
    rotation_deg = angles_deg(
        _since_first(tracks.rotations_wxyz[:, index].astype(np.float64)),
        _since_first(truth.rotations_wxyz[instants].astype(np.float64)),
    )
    return SpaceTracks(points, carry(tracks, index, points[0]), rotation_deg, assigned, index)


def follow_in_picture(tracks: Tracks, camera: Camera, truth: GroundTruth, truth_visible: np.ndarray) -> PictureTracks:
    """Follow the pixels of the true points that a camera sees at the first instant.

    A query is a position in the picture, lifted to the surface that shows there, then assigned and carried as in space.

    Args:
        tracks: The run's tracks.
        camera: A camera that does not move.
        truth: True tracks of the whole scene.
        truth_visible: True where a true point is visible in the camera at an instant of ``tracks``, shape [t, m], bool.
    """
    queried = np.flatnonzero(truth_visible[0])
    truth_px, _ = project(truth.points[list(tracks.timesteps)][:, queried].astype(np.float64), camera)
    lifted, known = lift(truth_px[0], tracks.at(0), camera)
    index, assigned = assign(lifted, tracks.at(0))
    points = carry(tracks, index, lifted)
    return PictureTracks(
        camera=camera,
        track=queried,
        truth_px=truth_px,
        carried_px=project(points, camera)[0],
        truth_visible=truth_visible[:, queried],
        called_visible=np.stack([visible(points[i], tracks.at(i), camera) for i in range(len(tracks))]),
        assigned=assigned & known,
    )


def errors_in_space(tracks: Tracks, truth: GroundTruth) -> TrackErrors:
    """Distance [m] and rotation error [deg] of every true track, for the instants of ``tracks``."""
    return follow_in_space(tracks, truth).errors()


def _since_first(rotations_wxyz: np.ndarray) -> np.ndarray:
    return multiply(rotations_wxyz, conjugate(rotations_wxyz[:1]))
