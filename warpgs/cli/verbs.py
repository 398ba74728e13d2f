"""Every verb of the command line, in the order of ``warpgs --help``. A new one: a file beside this, an entry here."""

from warpgs.cli.bench import BENCH
from warpgs.cli.check import CHECK
from warpgs.cli.edit import EDIT
from warpgs.cli.evaluate import EVALUATE
from warpgs.cli.export import EXPORT
from warpgs.cli.identify import IDENTIFY
from warpgs.cli.inspect import INSPECT
from warpgs.cli.masks import MASKS
from warpgs.cli.parts import PARTS
from warpgs.cli.plot import PLOT
from warpgs.cli.query import QUERY
from warpgs.cli.render import RENDER
from warpgs.cli.scenes import SCENES
from warpgs.cli.simulate import SIMULATE
from warpgs.cli.track import TRACK
from warpgs.cli.view import VIEW

VERBS = {
    "scenes": SCENES,
    "inspect": INSPECT,
    "masks": MASKS,
    "track": TRACK,
    "evaluate": EVALUATE,
    "query": QUERY,
    "parts": PARTS,
    "view": VIEW,
    "render": RENDER,
    "plot": PLOT,
    "edit": EDIT,
    "export": EXPORT,
    "simulate": SIMULATE,
    "identify": IDENTIFY,
    "check": CHECK,
    "bench": BENCH,
}
