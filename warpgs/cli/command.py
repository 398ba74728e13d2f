"""From the words of a command line to a verb at work, and from whatever goes wrong to one sentence and a status."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Union

import tyro

from warpgs.cli.shared import UsageError, description
from warpgs.cli.verbs import VERBS

OK, FAILED, USAGE = 0, 1, 2

DESCRIPTION = """Dense 6-DOF tracking of dynamic 3D Gaussians: calibrated pictures in, tracks and USD out.

Scenes are named by their folder or, if built in, by their name. Start with: warpgs track tumble --run runs/tumble"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit status: 0 done, 1 the work or its input failed, 2 wrong usage.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        verb, arguments = parse(argv)
    except SystemExit as stop:  # the parser has printed help or said what is wrong
        return stop.code if isinstance(stop.code, int) else OK
    except ValueError as error:  # a setting out of its range
        _complain(argv[0], f"{error}; see warpgs {argv[0]} --help")
        return USAGE
    _set_up(arguments.debug)
    try:
        VERBS[verb].action(arguments)
    except KeyboardInterrupt:
        explain = VERBS[verb].after_interrupt
        _complain(verb, "interrupted" if explain is None else explain(arguments, argv))
        return FAILED
    except UsageError as error:
        _complain(verb, f"{error}; see warpgs {verb} --help")
        return USAGE
    except Exception as error:
        if arguments.debug:
            raise
        expected = isinstance(error, ValueError | TypeError | OSError | ImportError | NotImplementedError)
        _complain(verb, str(error) if expected else f"{type(error).__name__}: {error}; pass --debug to see where")
        return FAILED
    return OK


def _complain(verb: str, message: str) -> None:
    print(f"warpgs {verb}: {' '.join(message.split())}", file=sys.stderr)


def _set_up(debug: bool) -> None:
    """Start Warp and the log; only errors are shown without ``debug``."""
    import warp as wp

    from warpgs.devices import init_quietly

    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(name)s: %(message)s")
    for chatty in ("matplotlib", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if debug:
        return
    wp.config.log_level = wp.LOG_ERROR
    init_quietly()


def parse(argv: list[str]) -> tuple[str, Any]:
    """The verb and its arguments; exits as parsers do after --help and wrong usage."""
    if argv == ["--version"]:
        from warpgs import __version__

        print(f"warpgs {__version__}")
        raise SystemExit(OK)
    if not argv or argv[0] not in VERBS:
        choices = tuple(
            Annotated[verb.arguments, tyro.conf.subcommand(name, description=_summary(verb.arguments))]
            for name, verb in VERBS.items()
        )
        tyro.cli(Union[choices], args=argv, prog="warpgs", description=DESCRIPTION)  # noqa: UP007, a tuple has no |
        raise SystemExit(USAGE)
    name, rest = argv[0], argv[1:]
    verb = VERBS[name]
    if verb.parse is not None:
        return name, verb.parse(rest)
    return name, tyro.cli(verb.arguments, args=rest, prog=f"warpgs {name}")


def _summary(arguments: type) -> str:
    """The first sentence of a verb's description."""
    return description(arguments).split("\n\n")[0].replace("\n", " ")
