"""``warpgs identify``."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from warpgs.cli.priors import PriorTexts
from warpgs.cli.shared import Flag, Verb, open_tracks, stored_index

if TYPE_CHECKING:
    from warpgs.simulate import Identified


@dataclass(frozen=True)
class Identify:
    """Find what tracked things are made of: parameters with which a simulation follows the tracks.

    Fitted to the first part of the tracks; how well they forecast the rest says how good they are.

    Example: warpgs identify runs/tumble --parameters restitution,friction --output material.json
    """

    run: Positional[Path]
    """The run directory, or a file: .usd .usda .usdc .usdz, .npz (Dynamic3DGaussians)."""
    parameters: Annotated[str, tyro.conf.arg(metavar="NAME,...")]
    """Among friction, restitution, stiffness, damping_s, drag; see docs/simulate.md."""
    fitted: Annotated[int | None, tyro.conf.arg(metavar="COUNT")] = None
    """Timesteps to fit to, the first of the run; 60 % of them when not given."""
    material: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """What is known: parameters to start from, colliders, pins."""
    hold: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PART ...")] = ()
    """Parts that move as tracked; "deformable" for what is in no part."""
    prior: PriorTexts = ()
    """What holds things together besides springs, may be given several times: elastic, or a class of your own, as in
    my_file.py:MyPrior; settings after commas. See docs/priors.md."""
    rest: Annotated[int | None, tyro.conf.arg(metavar="TIMESTEP")] = None
    """Timestep at which what bends is unbent, to which shape it returns; when not given, the first one for priors, and
    for springs the mean of all up to the start."""
    parts: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """Rigid parts, a file of warpgs parts; found when not given."""
    output: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """Write the material file with the values found, for warpgs simulate --material."""
    device: str = "auto"
    """auto, cpu or cuda:0."""
    overwrite: Flag = False
    """Replace an existing file."""
    debug: Flag = False
    """Show where an error came from."""


def identify_run(arguments: Identify) -> None:
    from tqdm import tqdm

    from warpgs.bodies import read_parts
    from warpgs.checks import check_absent, check_suffix
    from warpgs.priors import PRIORS
    from warpgs.priors.load import load_prior
    from warpgs.simulate import Material, identify, read_material

    if arguments.output is not None:
        check_suffix(arguments.output, (".json",))
        check_absent(arguments.output, arguments.overwrite)
    material = Material() if arguments.material is None else read_material(arguments.material)
    tracks = open_tracks(arguments.run)
    parts = None if arguments.parts is None else read_parts(arguments.parts, tracks)
    with tqdm(desc="identify", unit="window", dynamic_ncols=True) as bar:
        found = identify(
            tracks,
            arguments.parameters.split(","),
            material,
            parts=parts,
            hold=arguments.hold,
            priors=[load_prior(text, PRIORS) for text in arguments.prior],
            rest=None if arguments.rest is None else stored_index("--rest", tracks, arguments.rest),
            fitted=arguments.fitted,
            device=arguments.device,
            progress=lambda done: bar.update(done - bar.n),
        )
    _print(found, material.density)
    if arguments.output is not None:
        _write(arguments.output, arguments.material, found)
        print(arguments.output)


UNITS = {"stiffness": "Pa", "damping_s": "s", "drag": "1/s"}


def _print(found: Identified, density: float) -> None:
    """Values, and how well a simulation with them follows and forecasts."""
    print(f"{'parameter':<12}  {'value':>10}      standard deviation")
    for name, value in found.values.items():
        deviation = found.deviations[name]
        said = f"{deviation:.2g}" if math.isfinite(deviation) else "unknown: nothing in these tracks depends on it"
        unit = UNITS.get(name, "")
        print(f"{name:<12}  {value:10.4g} {unit:<3}  {said}")
    if "stiffness" in found.values:
        print(f"stiffness is that of a density of {density:g} kg/m^3, and in proportion to it")
    print(f"follows the tracks within {100 * found.error_m:.2f} cm rms, {100 * found.error_before_m:.2f} cm before")
    if found.forecast_m is not None and found.forecast_worst_m is not None and found.forecast_before_m is not None:
        print(
            f"forecasts the rest within {100 * found.forecast_m:.2f} cm median ({100 * found.forecast_before_m:.2f} cm"
            f" before), worst part {100 * found.forecast_worst_m:.2f} cm"
        )


def _write(path: Path, known: Path | None, found: Identified) -> None:
    """The material file that was given, with the values found; those that nothing depends on stay as they are."""
    from warpgs.files import whole_file

    content = {} if known is None else json.loads(known.read_text(encoding="utf-8"))
    content |= {name: value for name, value in found.values.items() if math.isfinite(found.deviations[name])}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


IDENTIFY = Verb(Identify, identify_run)
