"""Every step that a script of `warpgs edit` can ask for, on a thrown box: what it does in numbers, and in a picture.

python examples/17_every_step.py --output steps.png
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tyro
from PIL import Image, ImageDraw

from scenes.synthetic import SyntheticOptions, perfect_tracks, tumble
from usd_export import export, read_tracks
from warpgs.bodies import find_parts, write_parts
from warpgs.cli import main as warpgs
from warpgs.edit import by_part, center, join, lengthen, placing, take, transform
from warpgs.edit.desk import Eye
from warpgs.edit.steps import STEPS
from warpgs.query.geometry import project
from warpgs.render import Picture, Renderer
from warpgs.types import Tracks
from warpgs.view import save_picture, strip

TIMESTEPS = 8
COLUMNS = 5
EYE, TARGET = (1.6, -2.2, 1.5), (0.0, 0.0, 0.4)
CRATE = 'part = "part_00"'
PICTURE = f"camera = {{ eye = {list(EYE)}, target = {list(TARGET)}, size = [160, 90] }}"


def moved(before: Tracks, after: Tracks, instants: list[int]) -> bool:
    """Whether the last particles, which are the crate's, are now where they were at these instants."""
    return np.array_equal(after.means[:, -100:], before.means[instants, -100:])


def grown(before: Tracks, after: Tracks) -> int:
    return len(after.foreground) - len(before.foreground)


def green(tracks: Tracks) -> np.ndarray:
    return np.isclose(tracks.colors, [0.0, 1.0, 0.0], atol=1e-5).all(axis=1)


CASES = {
    "cut": (
        'of = "scene"\npiece = "rest"\npart = "background"\n[[step]]\ndo = "fade"\nof = "rest"\nfactor = 0.1',
        lambda b, a: grown(b, a) == 0,
    ),
    "remove": ('of = "crate"', lambda b, a: grown(b, a) < -100),
    "duplicate": (
        'of = "crate"\npiece = "twin"\n[[step]]\ndo = "transform"\nof = "twin"\ntranslate = [0, 0, 0.4]',
        lambda b, a: grown(b, a) > 100 and np.allclose(a.means[0, -1] - b.means[0, -1], [0, 0, 0.4], atol=1e-5),
    ),
    "insert": ('piece = "twin"\nfile = "crate.ply"\ntranslate = [0, 0, 0.5]', lambda b, a: grown(b, a) > 100),
    "background": ('file = "crate.ply"\nscale = 3', lambda b, a: a.foreground[-1] < 0.5 < b.foreground[-1]),
    "transform": ('of = "crate"\nscale = 1.5\nrotate_deg = [0, 0, 45]', lambda b, a: not moved(b, a, ALL)),
    "attach": (
        'of = "scene"\nto = "crate"',  # the world turns with the box
        lambda b, a: moved(b, a, ALL) and np.ptp(a.means[:, 0], axis=0).max() > 0.1,
    ),
    "keyframes": (
        'of = "crate"\nkeys = [{ timestep = 0, position = [0, 0, 0.3] }, { timestep = 7, position = [0, 0, 1] }]',
        lambda b, a: np.ptp(a.means[:, -1] - a.means[:, -2], axis=0).max() < 1e-4 < a.means[-1, -1, 2] - 0.5,
    ),
    "shift": ('of = "crate"\nby = 2', lambda b, a: moved(b, a, [0, 0, 0, 1, 2, 3, 4, 5])),
    "stretch": ('of = "crate"\nfactor = 2', lambda b, a: np.array_equal(a.means[6, -1], b.means[3, -1])),
    "loop": ('of = "crate"\nlast = 1', lambda b, a: moved(b, a, [0, 1] * 4)),
    "reverse": ('of = "crate"', lambda b, a: moved(b, a, ALL[::-1])),
    "freeze": ('of = "crate"\nat = 3', lambda b, a: moved(b, a, [0, 1, 2, 3, 3, 3, 3, 3])),
    "lengthen": ("timesteps = 3", lambda b, a: moved(b, a, [0, 1, 2])),
    "recolor": ('of = "crate"\ncolor = [0, 1, 0]', lambda b, a: green(a)[-1]),
    "tint": (
        'of = "crate"\nfactor = [1, 0.3, 1]',
        lambda b, a: np.allclose(a.colors[-1], b.colors[-1] * [1, 0.3, 1], atol=1e-5),
    ),
    "fade": ('of = "crate"\nfactor = 0.3', lambda b, a: a.opacity_logits[-1] < b.opacity_logits[-1]),
    "relight": ('of = "crate"\nambient = [0.3, 0.3, 0.3]\nlight = [1, 1, 1]', lambda b, a: a.harmonics is not None),
    "paint": (
        f'of = "crate"\npicture = "paint.png"\n{PICTURE}',
        lambda b, a: green(a).sum() > green(b).sum(),
    ),
    "split": ('of = "crate"', lambda b, a: grown(b, a) > 300),
}
"""By the name of each step: its keys, and whether it did what it says, given the tracks before and after."""
ALL = list(range(TIMESTEPS))


def prepare(folder: Path) -> Tracks:
    """Write what the scripts name: tracks whose last particles are those of the first rigid part, and that part."""
    options = SyntheticOptions(
        width=160, height=90, timesteps=TIMESTEPS, train_cameras=8, test_cameras=0, cloud_background=4000
    )
    tracks = perfect_tracks(tumble(options))
    crate = by_part(find_parts(tracks), "part_00")
    export(join([take(tracks, ~crate), take(tracks, crate)]), folder / "base.npz")
    base = read_tracks(folder / "base.npz")
    write_parts(folder / "parts.json", find_parts(base))
    copy = lengthen(take(base, np.arange(len(crate)) >= (~crate).sum()), 1)
    export(transform(copy, placing(translate=-center(copy))), folder / "crate.ply")
    x, y = project(center(copy)[None], Eye(EYE, TARGET, size=(160, 90)).camera())[0][0]
    painting = Image.new("RGBA", (160, 90))
    ImageDraw.Draw(painting).ellipse([x - 7, y - 7, x + 7, y + 7], fill=(0, 255, 0, 255))
    painting.save(folder / "paint.png")
    return base


def main(output: Path | None = None) -> None:
    """Do every step on the crate, each in a script of its own.

    Args:
        output: Where to write the picture, a .png; a temporary folder when not given.
    """
    assert set(CASES) == set(STEPS)
    renderer, camera, tiles = Renderer(), Eye(EYE, TARGET, size=(240, 160)).camera(), []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        base = prepare(folder)
        cut = f'base = "base.npz"\nparts = "parts.json"\n[[step]]\ndo = "cut"\npiece = "crate"\n{CRATE}\n'
        for name, (keys, did) in CASES.items():
            (folder / "edit.toml").write_text(f'{cut}[[step]]\ndo = "{name}"\n{keys}\n', encoding="utf-8")
            argv = ["edit", str(folder / "edit.toml"), "--output", str(folder / "out.usdc"), "--overwrite"]
            assert warpgs(argv) == 0, name
            edited = read_tracks(folder / "out.usdc")
            assert did(base, edited), name
            tile = Image.fromarray(to_pixels(renderer.view(edited.at(len(edited) // 2), camera)))
            ImageDraw.Draw(tile).text((5, 3), name, fill=(255, 255, 255), stroke_width=1, stroke_fill=(0, 0, 0))
            tiles.append(np.asarray(tile))
        picture = output or folder / "steps.png"
        save_picture(picture, strip([tiles[i : i + COLUMNS] for i in range(0, len(tiles), COLUMNS)]))
        assert picture.stat().st_size > 0


def to_pixels(picture: Picture) -> np.ndarray:
    return np.round(255.0 * np.clip(picture.color, 0.0, 1.0)).astype(np.uint8)


if __name__ == "__main__":
    tyro.cli(main)
