"""Change what happens: a hat rides on a crate, a ball follows keyframes, another plays backward in slow motion.

The tracks are imagined, as perfect tracking of a synthetic scene would give them; a run of your own does as well.

    python examples/11_move.py --output move.png
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tyro
from scipy.spatial.transform import Rotation

from scenes.synthetic import SyntheticOptions, perfect_tracks, tumble
from warpgs.bodies import fit_parts
from warpgs.edit import (
    along,
    attach,
    by_part,
    center,
    insert,
    only,
    placing,
    recolor,
    relight,
    reverse,
    stretch,
    take,
    transform,
)
from warpgs.render import Renderer
from warpgs.view import render_views, save_picture, strip

TIMESTEPS = 9


def main(output: Path | None = None) -> None:
    """Move four bodies of a scene by hand.

    Args:
        output: Where to write the picture, a .png; a temporary folder when not given.
    """
    options = SyntheticOptions(
        width=240,
        height=135,
        timesteps=TIMESTEPS,
        train_cameras=8,
        test_cameras=0,
        cloud_background=8000,
        cloud_noise_m=0.0,
    )
    scene = tumble(options)
    tracks, truth = perfect_tracks(scene), scene.ground_truth()
    names = truth.body_names
    # Each particle belongs to the body whose motion it has from the first instant to the last.
    since = truth.world_from_body @ np.linalg.inv(truth.world_from_body[:1])
    carried = np.einsum("bij,nj->bni", since[-1, :, :3, :3], tracks.means[0]) + since[-1, :, None, :3, 3]
    owner = np.linalg.norm(carried - tracks.means[-1], axis=2).argmin(axis=0)
    owner[tracks.foreground < 0.5] = -1
    parts = fit_parts(tracks, owner, names)
    crate, ball, beach_ball = (by_part(parts, name) for name in ("crate", "ball", "beach_ball"))
    poses = parts.world_from_part[:, names.index("crate")]

    # A red copy of the crate, smaller and above it, rigid with it from now on.
    hat = recolor(take(tracks, crate), (0.9, 0.1, 0.1), shading=True)
    hat = transform(hat, placing(translate=(0.0, 0.0, 0.2), scale=0.5, about=center(hat).tolist()))
    hat = attach(hat, poses)
    seen_from_crate = np.einsum("tji,tnj->tni", poses[:, :3, :3], hat.means - poses[:, None, :3, 3])
    assert np.abs(seen_from_crate - seen_from_crate[0]).max() < 1e-5

    # A ball on a path of its own, in evening light.
    places = np.array([[-0.6, -0.4, 0.3], [0.0, -0.7, 0.9], [0.6, -0.4, 0.3]])
    spins = Rotation.from_rotvec(np.outer([0.0, 90.0, 180.0], [0.0, 1.0, 0.0]), degrees=True)

    def juggled(piece):
        lit = relight(piece, ambient=(0.35, 0.35, 0.5), light=(1.0, 0.8, 0.5), toward=(1.0, -0.5, 0.6))
        return along(lit, (0, 4, 8), places, spins, smooth=True)

    edited = only(tracks, ball, juggled)
    for instant, place in zip((0, 4, 8), places, strict=True):
        assert np.abs(center(take(edited, ball), 0) - places[0]).max() < 1e-5
        moved = edited.means[instant, ball] - place
        turned = spins[instant // 4].apply(tracks.means[0, ball] - center(take(tracks, ball)))
        assert np.abs(moved - turned).max() < 1e-5

    # Another backward at half speed: it ends where it was half way.
    edited = only(edited, beach_ball, lambda piece: stretch(reverse(piece), 2.0))
    np.testing.assert_array_equal(edited.means[0, beach_ball], tracks.means[8, beach_ball])
    np.testing.assert_array_equal(edited.means[8, beach_ball], tracks.means[4, beach_ball])

    edited = insert(edited, hat)
    assert len(edited.foreground) == len(tracks.foreground) + crate.sum()
    views = [scene.cameras("train")[:1]] * TIMESTEPS
    rows = [list(render_views(which, Renderer(), views)) for which in (tracks, edited)]
    with tempfile.TemporaryDirectory() as folder:
        picture = output or Path(folder) / "move.png"
        save_picture(picture, strip([[row[i][0] for i in (0, 4, 8)] for row in rows]))
        assert picture.stat().st_size > 0
    print(f"{len(edited.foreground)} particles, {int(crate.sum())} of them a hat")


if __name__ == "__main__":
    tyro.cli(main)
