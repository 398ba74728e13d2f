"""Terms on the poses of particles: what holds them where pictures do not, in tracking and in simulation."""

from warpgs.priors.arap import ArapPrior
from warpgs.priors.background import BackgroundPrior
from warpgs.priors.base import Motion, Parameter, Prior, State, accumulate_energy, check_weight, parameter
from warpgs.priors.contact import ContactPrior
from warpgs.priors.elastic import ElasticPrior
from warpgs.priors.fit import fit_local_rotations
from warpgs.priors.fused import accumulate_priors
from warpgs.priors.ground import GroundPrior, GroundSearch, Plane, find_ground
from warpgs.priors.isometry import IsometryPrior
from warpgs.priors.momentum import MomentumPrior
from warpgs.priors.penetration import PenetrationPrior
from warpgs.priors.rest import Rest, weight_sigma
from warpgs.priors.rigidity import RigidityPrior
from warpgs.priors.rotation import RotationPrior
from warpgs.priors.schedule import ScheduledPrior
from warpgs.priors.shape_matching import ShapeMatchingPrior
from warpgs.priors.springs import SpringPrior
from warpgs.priors.surfaces import Box, Sphere, Surface, TriangleMesh
from warpgs.priors.volume import VolumePrior

PRIORS: dict[str, type[Prior]] = {
    "rigidity": RigidityPrior,
    "rotation": RotationPrior,
    "isometry": IsometryPrior,
    "springs": SpringPrior,
    "arap": ArapPrior,
    "elastic": ElasticPrior,
    "shape_matching": ShapeMatchingPrior,
    "volume": VolumePrior,
    "momentum": MomentumPrior,
    "contact": ContactPrior,
    "penetration": PenetrationPrior,
    "background": BackgroundPrior,
    "ground": GroundPrior,
}
"""Name on command lines to prior; each is held to the contract by tests/priors/test_contract.py."""

__all__ = [
    "PRIORS",
    "ArapPrior",
    "BackgroundPrior",
    "Box",
    "ContactPrior",
    "ElasticPrior",
    "GroundPrior",
    "GroundSearch",
    "IsometryPrior",
    "MomentumPrior",
    "Motion",
    "Parameter",
    "PenetrationPrior",
    "Plane",
    "Prior",
    "Rest",
    "RigidityPrior",
    "RotationPrior",
    "ScheduledPrior",
    "ShapeMatchingPrior",
    "Sphere",
    "SpringPrior",
    "State",
    "Surface",
    "TriangleMesh",
    "VolumePrior",
    "accumulate_energy",
    "accumulate_priors",
    "check_weight",
    "find_ground",
    "fit_local_rotations",
    "parameter",
    "weight_sigma",
]
