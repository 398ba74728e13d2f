"""Terms on the poses of particles: what holds the tracks where pictures do not."""

from warpgs.priors.background import BackgroundPrior
from warpgs.priors.base import Motion, Parameter, Prior, State, accumulate_energy, check_weight, parameter
from warpgs.priors.fit import fit_local_rotations
from warpgs.priors.fused import accumulate_priors
from warpgs.priors.ground import GroundPrior, GroundSearch, Plane, find_ground
from warpgs.priors.isometry import IsometryPrior
from warpgs.priors.rest import Rest, weight_sigma
from warpgs.priors.rigidity import RigidityPrior
from warpgs.priors.rotation import RotationPrior

PRIORS: dict[str, type[Prior]] = {
    "rigidity": RigidityPrior,
    "rotation": RotationPrior,
    "isometry": IsometryPrior,
    "background": BackgroundPrior,
    "ground": GroundPrior,
}
"""Name in configurations to prior; each is held to the contract of tests/priors/test_contract.py."""

__all__ = [
    "PRIORS",
    "BackgroundPrior",
    "GroundPrior",
    "GroundSearch",
    "IsometryPrior",
    "Motion",
    "Parameter",
    "Plane",
    "Prior",
    "Rest",
    "RigidityPrior",
    "RotationPrior",
    "State",
    "accumulate_energy",
    "accumulate_priors",
    "check_weight",
    "find_ground",
    "fit_local_rotations",
    "parameter",
    "weight_sigma",
]
