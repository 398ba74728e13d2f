import numpy as np
import pytest

from warpgs.reconstruct.backplate import learn_backgrounds
from warpgs.reconstruct.layers import background_shares
from warpgs.reconstruct.motion import MotionMasks
from warpgs.types import Camera, Frame

SKIN, FLOOR, WALL, POST = (200, 140, 110), (70, 70, 75), (225, 225, 215), (120, 60, 30)
INSTANTS = 16
STANDING = 12
"""Instants at which the foot stands still before it leaves."""


def stage(seed: int, foot: int, body: tuple[int, int, int] | None = None) -> np.ndarray:
    """A wall over a floor, a foot at a column on it and what it belongs to beside; shape [60, 90, 3], uint8."""
    picture = np.empty((60, 90, 3))
    picture[:30], picture[30:] = WALL, FLOOR
    picture[10:50, 60:64] = POST  # to be a background with outlines of its own
    picture[38:46, foot : foot + 10] = SKIN
    if body is not None:
        picture[18:38, foot : foot + 10] = body
    noise = np.random.default_rng(seed).integers(-3, 4, picture.shape)
    return (picture + noise).astype(np.uint8)


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray]:
    """A foot that stands for three quarters of the time and then walks past the post; and where something moves."""
    places = [20] * STANDING + [34, 44, 54, 70]
    moving = np.zeros((INSTANTS, 60, 90), bool)
    for instant in range(STANDING, INSTANTS):
        moving[instant, 36:48, places[instant] - 2 : places[instant] + 12] = True
    return np.stack([stage(seed, place) for seed, place in enumerate(places)]), moving


def test_a_foot_that_stands_most_of_the_time_is_no_background(planted):
    [(shares, _)] = background_shares([planted[0]], [planted[1]])
    inside = shares[:, 39:45, 21:29].mean(axis=(1, 2))
    assert inside[:STANDING].max() < 0.1 and inside[STANDING:].min() > 0.9
    assert shares[:, :8].min() > 0.99


def test_what_never_changes_is_background_and_what_passes_is_not(planted):
    [(shares, odds)] = background_shares([planted[0]], [planted[1]])
    assert shares[-2, 39:45, 55:63].max() < 0.5 < shares[0, 39:45, 55:63].min()  # before the post
    colors = np.array([[SKIN, FLOOR]], np.float32)
    assert odds.of(np.tile(colors, (60, 45, 1)))[40, 40] < -2.0 < 2.0 < odds.of(np.tile(colors, (60, 45, 1)))[40, 41]


def test_colors_of_one_camera_tell_another():
    """Trousers of the color of a post sway beside it in one camera, and pass before the wall in another."""
    places = {"sways": [44 + i % 2 for i in range(INSTANTS)], "passes": [4 * i for i in range(INSTANTS)]}
    series = {name: np.stack([stage(i, at, POST) for i, at in enumerate(each)]) for name, each in places.items()}
    moving = {name: np.zeros((INSTANTS, 60, 90), bool) for name in places}
    for name, each in places.items():
        for instant, at in enumerate(each):
            moving[name][instant, 16:48, max(at - 2, 0) : at + 12] = True
    [(alone, _)] = background_shares([series["sways"]], [moving["sways"]])
    (told, _), _ = background_shares(*([each["sways"], each["passes"]] for each in (series, moving)))
    trousers = (slice(None), slice(20, 36), slice(47, 52))
    assert told[trousers].max() < 0.1 and alone[trousers].min() > 0.9


def test_a_body_that_is_always_in_the_way_hides_the_background():
    """With three instants at which it is elsewhere nothing is hidden; its mask is right in either case."""
    places = [30 + 2 * (i % 4) for i in range(INSTANTS)]
    pictures, following = ([stage(i, place + step, SKIN) for i, place in enumerate(places)] for step in (0, 3))
    passing = [stage(90 + i, 2 + 8 * i) for i in range(3)]
    camera = Camera("front", 90, 60, np.array([[90.0, 0, 45], [0, 90.0, 30], [0, 0, 1]]), np.eye(4))
    true = np.zeros((60, 90), bool)
    true[18:46, 30:40] = True
    for elsewhere, hidden in (([], True), (passing, False)):
        [learned] = learn_backgrounds([camera], [[*pictures, *elsewhere]], [[*following, *elsewhere]])
        assert ((learned.trust[20:45, 37:39] < -1.0) == hidden).all() and learned.trust[:, 70:].min() > 1.0
        [mask] = MotionMasks([learned]).add_to(Frame(0, 0.0, (camera,), (pictures[0],), None)).masks
        assert ((mask > 127) & true).sum() / ((mask > 127) | true).sum() > 0.97
