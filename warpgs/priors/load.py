"""Priors by name: those of this package, and those in a user's own Python file."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from warpgs.checks import refuse, sentence
from warpgs.priors.base import Prior

RULE = "NAME or FILE.py:CLASS, and then any settings as in my_file.py:MyPrior,weight=2.5"


def load_prior(text: str, known: Mapping[str, type[Prior]]) -> Prior:
    """The prior that a command line names.

    Args:
        text: ``momentum``, ``my_file.py:MyPrior``, and either with settings: ``contact,weight=2,friction=0.4``. Values
            are Python literals.
        known: Priors that have a name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such name, class or setting; a value that is none.
        TypeError: the class is no prior.
        Whatever the file raises.
    """
    what, settings = _split(text)
    if ":" not in what and what not in known:
        refuse(f"prior {what}", "one of " + ", ".join(known) + " or FILE.py:CLASS", "another name")
    made = known[what] if what in known else _class_in_file(*what.rsplit(":", 1))
    try:
        return made(**settings)
    except TypeError as error:  # a setting that it does not have
        raise ValueError(f"prior {text}: {error}") from error


def prior_identity(text: str) -> str:
    """``text`` with the digest of the file it names: what a run must have been made with to be resumed."""
    what, _ = _split(text)
    if ":" not in what:
        return text
    return f"{text} sha256={hashlib.sha256(Path(what.rsplit(':', 1)[0]).read_bytes()).hexdigest()}"


def _split(text: str) -> tuple[str, dict[str, Any]]:
    """The name and the settings."""
    what, _, rest = text.partition(",")
    try:
        call = ast.parse(f"f({rest})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise SyntaxError
        return what.strip(), {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise ValueError(sentence("prior", RULE, repr(text))) from error


def _class_in_file(file: str, name: str) -> type[Prior]:
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(sentence(f"prior {file}:{name}", "a Python file", "none there"))
    # a name of its own among modules, where dataclasses look up the module that they were written in
    unique = f"{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(unique, path)
    if spec is None or spec.loader is None:
        refuse(f"prior {file}:{name}", "a file ending in .py", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    spec.loader.exec_module(module)
    made = getattr(module, name, None)
    if made is None:
        refuse(f"prior {file}:{name}", f"a class {name} in the file", "none")
    if not (isinstance(made, type) and issubclass(made, Prior)):
        raise TypeError(sentence(f"prior {file}:{name}", "a subclass of warpgs.priors.Prior", repr(made)))
    return made
