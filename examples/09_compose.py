"""Two recordings in one: bodies of one are cut out, brought from its own frame and unit, and put into another.

The recordings are imagined, as perfect tracking of synthetic scenes would give them; runs of your own do as well:

    warpgs edit compose.toml --output runs/both         # see docs/editing.md

    python examples/09_compose.py --output compose.png
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tyro
from scipy.ndimage import binary_dilation
from scipy.spatial.transform import Rotation

from scenes.synthetic import SyntheticOptions, perfect_tracks, plain, tumble
from warpgs.bodies import find_parts
from warpgs.edit import by_part, insert, join, placing, remove, take, transform
from warpgs.render import Renderer
from warpgs.similarity import Similarity
from warpgs.view import save_picture, strip

TIMESTEPS = 6
NEAR_M = 0.05
OPTIONS = SyntheticOptions(
    width=320,
    height=180,
    timesteps=TIMESTEPS,
    train_cameras=8,
    test_cameras=0,
    cloud_background=6000,
    cloud_foreground=6000,
    cloud_noise_m=0.0,
)
OTHERS_FRAME = Similarity(1000.0, Rotation.from_rotvec([1.2, 0.3, -0.5]).as_matrix(), np.array([50.0, 20.0, -300.0]))
"""The other recording is in millimetres and lies on its side."""


def main(output: Path | None = None) -> None:
    """Put two bodies of one scene into another.

    Args:
        output: Where to write the picture, a .png; a temporary folder when not given.
    """
    scene = tumble(OPTIONS)
    here, there = perfect_tracks(scene), transform(perfect_tracks(plain(OPTIONS)), OTHERS_FRAME)

    # What is cut out and put back is the original, bit for bit.
    parts = find_parts(here)
    crate = by_part(parts, parts.names[0])
    again = insert(remove(here, crate), take(here, crate), where=crate)
    for name, array in vars(here).items():
        assert not isinstance(array, np.ndarray) or np.array_equal(getattr(again, name), array), name

    # Two boxes of the other scene, half as large as they were, beside the bodies of this one.
    boxes = take(there, np.isin(find_parts(there).part_index, (0, 1)))
    boxes = transform(transform(boxes, OTHERS_FRAME.inverse()), placing(scale=0.5, translate=(0.0, -0.2, 0.3)))
    bodies = take(here, here.foreground > 0.5)
    both = join([bodies, boxes])
    assert len(both.foreground) == len(bodies.foreground) + len(boxes.foreground)

    # Where the pictures of the two do not overlap, that of both is their sum: one over the other, and nothing between.
    renderer, pictures = Renderer(), []
    for camera in scene.cameras("train")[:2]:
        for instant in (0, TIMESTEPS - 1):
            one, other, together = (
                renderer.view(tracks.at(instant), camera, near=NEAR_M) for tracks in (bodies, boxes, both)
            )
            apart = ~binary_dilation((one.alpha > 0.0) & (other.alpha > 0.0), iterations=2)
            error = np.abs(together.color - one.color - other.color)[apart].max()
            print(f"camera {camera.name}, timestep {instant}: {100 * apart.mean():.0f} % apart, off by {error:.1e}")
            assert error <= 1e-4 and (other.alpha[apart] > 0.5).any()
            whole = renderer.view(insert(here, boxes).at(instant), camera, near=NEAR_M).color
            pictures.append((np.clip(whole, 0.0, 1.0) * 255.0).astype(np.uint8))

    with tempfile.TemporaryDirectory() as folder:
        picture = output or Path(folder) / "compose.png"
        save_picture(picture, strip([pictures[:2], pictures[2:]]))
        assert picture.stat().st_size > 0


if __name__ == "__main__":
    tyro.cli(main)
