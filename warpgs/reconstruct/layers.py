"""Which instants show the background of static cameras, pixel by pixel.

The colors that a pixel takes over time are few. Each is a node of a graph whose edges join colors of neighboring pixels
that show at the same instants and are alike: what belongs together in pictures is judged together. Colors that hardly
ever change are background. From them random walks with priors (Grady 2005) reach every other color or do not: a foot
that stands still for most of the time is cut off by its own outline, while the floor that shows after it goes on to the
floor around. The priors are the colors of what moves, in all cameras, against those of the background nearby.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage, sparse

SAME_COLOR = 12
"""Colors (0..255) that differ by no more than this in any channel are one."""
MOST_COLORS = 6
"""Colors kept of each pixel; the last is what is left."""
CONSTANT = 0.9
"""A color that a pixel has for this share of the instants is background ..."""
CONSTANT_MOTION = 0.25
"""... if no larger share of the instants is in motion there."""
CONTRAST = 20
"""What differs by more than this (0..255) from such a background and moves is foreground: its colors are learned."""
LINK_SIGMA = 10.0
"""Colors of neighboring pixels belong together if they differ by little of this, 0..255."""
LEAST_LINK = 1e-4
"""Weight of the link between colors that have nothing in common; that of equal ones is 1."""
PRIOR_WEIGHT = 0.1
"""Weight of what a color itself tells."""
MOTION_ODDS = 2.0
"""Log of the odds for foreground of a color all of whose instants are in motion."""
ROUNDS = 2
"""Walks: what is foreground by the first tells more colors of it to the second."""
TOLERANCE = 1e-4
"""Walks are solved to this relative residual ..."""
MOST_STEPS = 1000
"""... in no more steps of conjugate gradients."""
COLOR_BINS = 16
"""Bins of each channel in the histograms of colors ..."""
COLOR_BLUR = 1.0
"""... blurred by this standard deviation [bins]."""
TILE = 0.05
"""Edge of the tiles whose colors are counted apart, share of the picture's longer side ..."""
TILE_BLUR = 2.0
"""... and the standard deviation of their blur [tiles]."""
ELSEWHERE = 0.1
"""Weight of the background's colors in all of the picture, shares of those in a tile that is all known."""
RARE = 1e-5
"""Share of a color that was never seen."""


@dataclass(frozen=True, eq=False)
class ColorOdds:
    """What colors tell: those of the background nearby against those of the foreground anywhere."""

    nearby: np.ndarray
    """Share of each color in the background of each tile, shape [rows, columns, bins, bins, bins], float32."""
    foreground: np.ndarray
    """Share of each color in the foreground, shape [bins, bins, bins], float32."""

    def of(self, colors: np.ndarray) -> np.ndarray:
        """Log of the odds that pixels are background by their color alone, shape [..., height, width], float32.

        Args:
            colors: RGB 0..255, shape [..., height, width, 3]; pictures of any size.
        """
        row, column, *bins = _bins(colors, self.nearby.shape[:2])
        nearby, foreground = self.nearby[row, column, *bins], self.foreground[tuple(bins)]
        return np.log((nearby + np.float32(RARE)) / (foreground + np.float32(RARE)))


def background_shares(
    pictures: Sequence[np.ndarray], moving: Sequence[np.ndarray], over: Callable = map
) -> list[tuple[np.ndarray, ColorOdds]]:
    """How far each pixel of each camera belongs to the background at each instant.

    Args:
        pictures: RGB at several instants, uint8, shape [t, height, width, 3] per camera.
        moving: Where something moves at each, bool, shape [t, height, width] per camera.
        over: ``map``, or the map of an executor.

    Returns:
        Of each camera, the shares 0..1, shape [t, height, width], float32; and what colors tell in it.
    """
    cameras = list(over(_Layers.of, pictures, moving))
    for _ in range(ROUNDS):
        foreground = np.mean([camera.foreground_colors() for camera in cameras], axis=0)
        cameras = list(over(_Layers.walked, cameras, [foreground] * len(cameras)))
    foreground = np.mean([camera.foreground_colors() for camera in cameras], axis=0)
    return [(camera.at_instants(), ColorOdds(camera.nearby, foreground)) for camera in cameras]


@dataclass(frozen=True, eq=False)
class _Colors:
    """The colors that each pixel takes, shape [k, height, width]."""

    label: np.ndarray
    """Which one at each instant, shape [t, height, width], int64."""
    means: np.ndarray
    """RGB 0..255, shape [k, height, width, 3], float32."""
    count: np.ndarray
    """Instants of each, float32; 0 where a pixel takes fewer."""

    @staticmethod
    def of(series: np.ndarray) -> _Colors:
        """In the order in which they are first seen."""
        shape = (MOST_COLORS, *series.shape[1:3])
        means, count = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32)
        label = np.empty(series.shape[:3], np.int64)
        for picture, chosen in zip(series.astype(np.float32), label, strict=True):
            distance = np.where(count > 0, _difference(means, picture), np.float32(np.inf))
            known = distance.min(axis=0) <= SAME_COLOR
            chosen[:] = np.where(known, distance.argmin(axis=0), np.minimum((count > 0).sum(axis=0), MOST_COLORS - 1))
            taken = chosen == np.arange(MOST_COLORS)[:, None, None]
            count += taken
            means += (taken / np.maximum(count, np.float32(1.0)))[..., None] * (picture - means)
        return _Colors(label, means, count)

    def share_of(self, chosen: np.ndarray) -> np.ndarray:
        """Share of the instants of each color that are ``chosen`` [t, height, width], 0..1."""
        hits = np.stack([((self.label == k) & chosen).sum(axis=0) for k in range(MOST_COLORS)])
        return hits / np.maximum(self.count, 1.0)


@dataclass(frozen=True, eq=False)
class _Layers:
    """What is known of the colors of one camera."""

    colors: _Colors
    graph: _Graph
    motion: np.ndarray
    """Share of the instants of each color that are in motion, shape [k, height, width]."""
    nearby: np.ndarray
    """See ``ColorOdds``."""
    shares: np.ndarray
    """How far each color is background, 0..1, shape [k, height, width], float64."""
    foreground: np.ndarray
    """Instants at which each color is known to be foreground, shape [k, height, width]."""

    @staticmethod
    def of(series: np.ndarray, moving: np.ndarray) -> _Layers:
        """What can be told at once: colors that hardly ever change, and what moves before them."""
        colors = _Colors.of(series)
        most = colors.count.max(axis=0)
        constant = (most >= CONSTANT * len(series)) & (moving.mean(axis=0) <= CONSTANT_MOTION)
        anchored = constant & (colors.count == most)
        usual = np.take_along_axis(colors.means, colors.count.argmax(axis=0)[None, ..., None], axis=0)[0]
        certain = constant & moving & (_difference(series, usual) > CONTRAST) & ~_darker(series, usual)
        return _Layers(
            colors,
            _Graph.over(colors, series, constant, anchored),
            colors.share_of(moving),
            _nearby(colors.means, anchored * colors.count),
            anchored.astype(np.float64),
            colors.share_of(certain) * colors.count,
        )

    def foreground_colors(self) -> np.ndarray:
        """Share of each color in the foreground, shape [bins, bins, bins], float32; 0 where none is known."""
        _, _, *bins = _bins(self.colors.means, (1, 1))
        counts = _histogram(bins, (COLOR_BINS,) * 3, self.foreground, (COLOR_BLUR,) * 3)
        return counts / max(float(counts.sum()), 1.0)

    def walked(self, foreground: np.ndarray) -> _Layers:
        """With shares anew, given the colors of the foreground."""
        odds = ColorOdds(self.nearby, foreground).of(self.colors.means) - MOTION_ODDS * self.motion
        shares = self.graph.solve(1.0 / (1.0 + np.exp(-odds)), self.shares)
        return replace(self, shares=shares, foreground=np.maximum(1.0 - 2.0 * shares, 0.0) * self.colors.count)

    def at_instants(self) -> np.ndarray:
        """Shares of what each pixel shows, shape [t, height, width], float32."""
        return np.take_along_axis(self.shares, self.colors.label, axis=0).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Graph:
    """Links between the colors that are to be decided, n of them."""

    unknown: np.ndarray
    """Which those are, shape [k, height, width], bool."""
    links: sparse.csr_matrix
    """Weights, shape [n, n]."""
    degree: np.ndarray
    """Sum of the weights of each, with those to what is known, shape [n]."""
    from_known: np.ndarray
    """Sum of the weights to known background, shape [n]."""
    prior_weight: np.ndarray
    """Weight of the prior of each, shape [n]."""

    @staticmethod
    def over(colors: _Colors, series: np.ndarray, constant: np.ndarray, anchored: np.ndarray) -> _Graph:
        """Join what shows side by side, but where both sides are ``constant`` and little is to be decided."""
        exists = colors.count > 0
        index = np.full(exists.shape, -1, np.int64)
        index[exists] = np.arange(exists.sum())
        nodes = np.take_along_axis(index, colors.label, axis=0)
        ends, weights = [], []
        for axis in (1, 2):
            low, high = (tuple(each if a == axis else slice(None) for a in range(3)) for each in (FIRST, SECOND))
            undecided = ~(constant[low[1:]] & constant[high[1:]])
            step = _difference(series[high][:, undecided].astype(np.float32), series[low][:, undecided])
            alike = np.exp(-0.5 * (step / np.float32(LINK_SIGMA)) ** 2)
            ends.append(np.stack([nodes[low][:, undecided].ravel(), nodes[high][:, undecided].ravel()]))
            weights.append((alike.ravel() + LEAST_LINK) / len(series))
        (first, second), count = np.concatenate(ends, axis=1), int(exists.sum())
        links = sparse.coo_matrix((np.concatenate(weights), (first, second)), shape=(count, count)).tocsr()
        unknown = exists & ~anchored
        rows = (links + links.T)[unknown[exists]]
        return _Graph(
            unknown,
            rows[:, unknown[exists]],
            np.asarray(rows.sum(axis=1)).ravel(),
            rows @ anchored[exists].astype(np.float64),
            PRIOR_WEIGHT / len(series) * colors.count[unknown].astype(np.float64),
        )

    def solve(self, prior: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Chance of a walk from each color to end in the background, shape [k, height, width].

        Args:
            prior: The same by color and motion alone.
            start: A guess; what is known stays.
        """
        result = start.copy()
        diagonal = self.degree + self.prior_weight
        right = self.from_known + self.prior_weight * prior[self.unknown]
        found = _conjugate_gradients(diagonal, self.links, right, start[self.unknown])
        result[self.unknown] = np.clip(found, 0.0, 1.0)
        return result


FIRST, SECOND = slice(None, -1), slice(1, None)
"""Of two neighbors along an axis."""


def _conjugate_gradients(
    diagonal: np.ndarray, links: sparse.csr_matrix, right: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """Solve (diagonal - links) x = right, shape [n], scaled by the diagonal.

    SciPy's takes dot products from BLAS, whose threads wait for each other where cores are busy, twice the time in all,
    and round as their number has it.
    """
    found = start.copy()
    residual = right - diagonal * found + links @ found
    direction, before, limit = np.zeros_like(found), 1.0, TOLERANCE**2 * (right * right).sum()
    for step in range(MOST_STEPS):
        if (residual * residual).sum() <= limit:
            break
        scaled = residual / diagonal
        product = (residual * scaled).sum()
        direction = scaled + (product / before if step else 0.0) * direction
        before = product
        ahead = diagonal * direction - links @ direction
        length = product / (direction * ahead).sum()
        found += length * direction
        residual -= length * ahead
    return found


def _nearby(colors: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Share of each color in each tile and around it; see ``ColorOdds``."""
    height, width = colors.shape[1:3]
    tile = max(1, round(TILE * max(height, width)))
    shape = (-(-height // tile), -(-width // tile), *(COLOR_BINS,) * 3)
    counts = _histogram(_bins(colors, shape[:2]), shape, amount, (TILE_BLUR,) * 2 + (COLOR_BLUR,) * 3)
    everywhere = counts.sum(axis=(0, 1)) / max(float(counts.sum()), 1.0)
    counts += np.float32(ELSEWHERE * amount.sum(axis=0).max() * tile**2) * everywhere
    return counts / np.maximum(counts.sum(axis=(2, 3, 4), keepdims=True), np.float32(1e-9))


def _bins(colors: np.ndarray, tiles: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Row and column of the tile of each pixel, and the bins of its color, shape [..., height, width] each."""
    height, width = colors.shape[-3:-1]
    row, column = np.indices((height, width))
    tile = (np.broadcast_to(each, colors.shape[:-1]) for each in (row * tiles[0] // height, column * tiles[1] // width))
    bins = np.minimum(colors * np.float32(COLOR_BINS / 256.0), COLOR_BINS - 1).astype(np.int64)
    return (*tile, *np.moveaxis(bins, -1, 0))


def _histogram(
    at: Sequence[np.ndarray], shape: tuple[int, ...], amount: np.ndarray, blur: tuple[float, ...]
) -> np.ndarray:
    used = amount > 0
    flat = np.ravel_multi_index(tuple(each[used] for each in at), shape)
    counts = np.bincount(flat, amount[used], int(np.prod(shape))).reshape(shape)
    return ndimage.gaussian_filter(counts.astype(np.float32), blur)


def _difference(colors: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Largest difference in any channel, 0..255, shape [...]."""
    red, green, blue = (np.abs(colors[..., channel] - others[..., channel]) for channel in range(3))
    return np.maximum(np.maximum(red, green), blue)


def _darker(series: np.ndarray, background: np.ndarray) -> np.ndarray:
    """True where a picture is the background made darker, as in a shadow, shape [t, height, width]."""
    ratio = (series * background).sum(axis=3) / np.maximum((background**2).sum(axis=2), 1.0)
    misfit = _difference(series, ratio[..., None] * background)
    return (ratio < 1.0) & (misfit <= SAME_COLOR)
