from pathlib import Path

import pytest

from warpgs.priors import PRIORS, IsometryPrior
from warpgs.priors.contract import ON_THE_FLOOR, check
from warpgs.priors.load import load_prior, prior_identity

EXAMPLE = Path(__file__).parents[2] / "examples" / "13_your_own_prior.py"
FILE = """
from dataclasses import dataclass
from warpgs.priors import Prior

@dataclass(frozen=True)
class Mine(Prior):
    weight: float = 1.0
    place_m: tuple = (0.0, 0.0)

    def accumulate(self, state, rest, loss):
        pass

class Other:
    pass
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def test_load_prior_by_name_and_from_a_file(file):
    assert load_prior("isometry", PRIORS) == IsometryPrior()
    assert load_prior("isometry,weight=3", PRIORS) == IsometryPrior(3)
    mine = load_prior(f"{file}:Mine,weight=2.5,place_m=(1, 2.5)", PRIORS)
    assert (type(mine).__name__, mine.weight, mine.place_m) == ("Mine", 2.5, (1, 2.5))


def test_prior_of_an_example_is_loaded_from_its_file_and_keeps_the_contract(device):
    loaded = load_prior(f"{EXAMPLE}:HeightPrior,weight=0.1", PRIORS)
    assert loaded.weight == 0.1
    check(type(loaded), motion=ON_THE_FLOOR, device=device)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("gravity", ValueError, "prior gravity: expected one of rigidity"),
        ("isometry,weight", ValueError, "prior: expected NAME or FILE.py:CLASS"),
        ("isometry,weight=open('x')", ValueError, "prior: expected NAME or FILE.py:CLASS"),
        ("isometry,heavy=1", ValueError, "unexpected keyword argument 'heavy'"),
        ("isometry,weight=-1", ValueError, "weight: expected a finite number >= 0"),
        ("nowhere.py:Mine", FileNotFoundError, "nowhere.py:Mine: expected a Python file"),
        ("{file}:Nothing", ValueError, "expected a class Nothing in the file"),
        ("{file}:Other", TypeError, "expected a subclass of warpgs.priors.Prior"),
    ],
)
def test_load_prior_says_what_is_wrong(text, error, message, file):
    with pytest.raises(error, match=message):
        load_prior(text.format(file=file), PRIORS)


def test_prior_identity_changes_with_the_file(file):
    before = prior_identity(f"{file}:Mine,weight=2")
    assert before.startswith(f"{file}:Mine,weight=2 sha256=")
    file.write_text(FILE + "\n")
    assert prior_identity(f"{file}:Mine,weight=2") != before
    assert prior_identity("isometry,weight=3") == "isometry,weight=3"
