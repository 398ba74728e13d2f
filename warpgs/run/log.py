"""log.jsonl: one line of metrics per timestep."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from warpgs.files import whole_file
from warpgs.run.arrays import FREE_SPACE

logger = logging.getLogger(__name__)

Metrics = Mapping[str, float]


def read_log(path: Path, timesteps: Sequence[int]) -> dict[int, Metrics]:
    """Metrics of the given timesteps; a line that makes no sense is left out, for no log is worth a refusal."""
    log = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
            timestep = int(entry.pop("timestep"))
            log[timestep] = {name: float(value) for name, value in entry.items()}
        except (ValueError, TypeError, AttributeError, KeyError):
            logger.warning("%s: left out a line that is no log entry", path)
    return {timestep: log[timestep] for timestep in timesteps if timestep in log}


def write_log(path: Path, log: Mapping[int, Metrics]) -> None:
    """Write the whole log anew, atomically."""
    lines = [json.dumps({"timestep": timestep} | _jsonable(metrics)) + "\n" for timestep, metrics in log.items()]
    with whole_file(path, FREE_SPACE) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def _jsonable(metrics: Metrics) -> dict[str, float | str]:
    """Infinity and NaN as text that float() reads, since JSON has no word for them."""
    return {name: float(value) if math.isfinite(value) else str(float(value)) for name, value in metrics.items()}
