"""What one field of Gaussians gives to tracks: which particles, when, where, and how they look."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pxr import Usd

from usd_export.reading.field import DEGREE, HARMONICS, OPACITIES, ORIENTATIONS, POSITIONS, SCALES, Field
from usd_export.reading.form import COEFFICIENTS, colors, log_scales, trimmed, unit
from warpgs.checks import refuse, sentence
from warpgs.similarity import Similarity

logger = logging.getLogger(__name__)

GROWTH_TOLERANCE = 1e-4
"""Change of a transform's scale over time that is taken for rounding."""

CHECK = "warpgs check says more"


@dataclass(frozen=True, eq=False)
class Share:
    """The n particles of one field."""

    path: Path
    """The file, named in errors."""
    field: Field
    world_from_stage: np.ndarray
    """Similarity to z up and metres, shape [4, 4]."""
    count: int
    """n."""

    def presence(self, codes: list[Usd.TimeCode]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Opacities 0..1 [n], the instant from which each particle is visible [n], and whether it ever is [n].

        An opacity that changes once it is not 0 counts as its largest.
        """
        over_time = np.empty((len(codes), self.count), np.float32)
        for i, code in enumerate(codes):
            over_time[i] = self._opacities(code) if self.field.is_visible(code) else 0.0
        opacities, birth = over_time.max(axis=0), (over_time > 0.0).argmax(axis=0)
        shown = over_time != 0.0
        if (shown & (over_time != opacities)).any() or (shown[:-1] & ~shown[1:]).any():
            logger.warning("%s: opacities that change or end are read as their largest from then on", self._what())
        return opacities, birth, shown.any(axis=0)

    def ids(self) -> np.ndarray | None:
        """``primvars:ids``, shape [n]."""
        return self._primvar("ids", Usd.TimeCode.Default())

    def foreground(self) -> np.ndarray:
        """``primvars:foreground``, without it 1 where the field moves, shape [n], float32."""
        stored = self._primvar("foreground", Usd.TimeCode.Default())
        return np.full(self.count, float(self.moves()), np.float32) if stored is None else stored.astype(np.float32)

    def judgments(self, name: str, codes: list[Usd.TimeCode]) -> np.ndarray | None:
        """Shares of a Judgment, shape [t, n]; None where the field does not say at every instant."""
        over_time = [self._primvar(f"warpgs:{name}", code) for code in codes]
        known = [values for values in over_time if values is not None]
        return np.stack(known) if len(known) == len(codes) else None

    def moves(self) -> bool:
        """Whether any pose may depend on the time."""
        sampled = (self.field.attribute(name).ValueMightBeTimeVarying() for name in (POSITIONS, ORIENTATIONS))
        return any(sampled) or self.field.transforms_vary()

    def poses(self, codes: list[Usd.TimeCode]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Centers [m], world frame [n, 3], and quaternions w, x, y, z [n, 4] of every instant.

        Raises:
            ValueError: counts that change, broken quaternions, a transform that shears or mirrors.
            NotImplementedError: a transform whose scale changes.
        """
        first = self.world_from_prim(codes[0])
        pose = self._pose_in(codes[0], first)
        yield pose
        for code in codes[1:]:
            if self.moves():
                world_from_prim = self.world_from_prim(code)
                if abs(world_from_prim.scale / first.scale - 1.0) > GROWTH_TOLERANCE:
                    got = f"{first.scale:.4g} at first, {world_from_prim.scale:.4g} at {code}"
                    raise NotImplementedError(sentence(self._what(), "a transform of constant scale", got))
                pose = self._pose_in(code, world_from_prim)
            yield pose

    def pose(self, code: Usd.TimeCode) -> tuple[np.ndarray, np.ndarray]:
        """The same of one instant."""
        return self._pose_in(code, self.world_from_prim(code))

    def log_scales(self, world_from_prim: Similarity) -> np.ndarray:
        """Shape [n, 3], float32."""
        scales = self._array(SCALES, self.field.first(SCALES))
        return world_from_prim.log_scales(log_scales(self._what(SCALES), scales)).astype(np.float32)

    def radiance(self, world_from_prim: Similarity) -> tuple[np.ndarray, np.ndarray | None]:
        """Colors [n, 3], gray where there are none, and harmonics as in Gaussians, world frame."""
        stored = self.field.first(HARMONICS)
        if stored is None:
            return np.full((self.count, 3), 0.5, np.float32), None
        degree = self.field.prim.GetAttribute(DEGREE).Get()
        if not 0 <= degree < len(COEFFICIENTS):
            raise NotImplementedError(sentence(self._what(DEGREE), "0 to 3", degree))
        each, rest = divmod(len(stored), self.count)
        if rest or each < COEFFICIENTS[degree]:
            rule = f"{COEFFICIENTS[degree]} coefficients for each of {self.count} particles (degree {degree})"
            refuse(self._what(HARMONICS), rule, len(stored), CHECK)
        coefficients = stored.reshape(self.count, each, 3)[:, : COEFFICIENTS[degree]]
        harmonics = trimmed(coefficients[:, 1:])
        return colors(coefficients[:, 0]), None if harmonics is None else world_from_prim.harmonics(harmonics)

    def world_from_prim(self, code: Usd.TimeCode) -> Similarity:
        return Similarity.of(self.world_from_stage @ self.field.stage_from_prim(code), f"{self._what()}: transform")

    def _pose_in(self, code: Usd.TimeCode, world_from_prim: Similarity) -> tuple[np.ndarray, np.ndarray]:
        positions = self._array(POSITIONS, self.field.at(POSITIONS, code))
        stored = self.field.at(ORIENTATIONS, code)
        if stored is None:
            stored = np.tile(np.array([0.0, 0.0, 0.0, 1.0], np.float32), (self.count, 1))
        rotations_wxyz = unit(self._what(ORIENTATIONS), self._array(ORIENTATIONS, stored)[:, [3, 0, 1, 2]])
        return world_from_prim.points(positions), world_from_prim.rotations_wxyz(rotations_wxyz)

    def _opacities(self, code: Usd.TimeCode) -> np.ndarray:
        stored = self.field.at(OPACITIES, code)
        opacities = np.ones(self.count, np.float32) if stored is None else self._array(OPACITIES, stored)
        wrong = ~((opacities >= 0.0) & (opacities <= 1.0))
        if wrong.any():
            refuse(self._what(OPACITIES), "numbers from 0 to 1", f"{opacities[wrong][0]:.4g} at {code}", CHECK)
        return opacities

    def _array(self, name: str, values: np.ndarray | None) -> np.ndarray:
        """Refuse what is missing or of another count than the positions."""
        if values is None or len(values) != self.count:
            got = "none" if values is None else len(values)
            refuse(self._what(name), f"{self.count} values, as many as particles", got, CHECK)
        return values

    def _primvar(self, name: str, code: Usd.TimeCode) -> np.ndarray | None:
        primvar = self.field.primvar(name)
        value = primvar.Get(code) if primvar.HasAuthoredValue() else None
        values = None if value is None else self._array(f"primvars:{name}", np.atleast_1d(np.array(value)))
        if values is not None and values.dtype.kind not in "fiu":
            refuse(self._what(f"primvars:{name}"), "numbers", primvar.GetTypeName(), CHECK)
        return values

    def _what(self, name: str = "") -> str:
        return f"{self.path}: {self.field.path}" + (f".{name}" if name else "")
