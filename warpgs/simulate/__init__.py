"""Forward in time: tracked particles go on under inertia, gravity, springs and contact; everything differentiable."""

from warpgs.simulate.colliders import Collider, box, mesh, plane, sphere
from warpgs.simulate.energy import PriorEnergy
from warpgs.simulate.failure import SimulationFailure
from warpgs.simulate.forecast import Forecast
from warpgs.simulate.forward import Instant, simulate
from warpgs.simulate.gradient import BackInTime, Gradients
from warpgs.simulate.identify import Identified, identify
from warpgs.simulate.implicit import Implicit
from warpgs.simulate.material import Material, PartMaterial, read_material
from warpgs.simulate.model import Model, Path
from warpgs.simulate.setup import Setup, set_up
from warpgs.simulate.solid import Solid
from warpgs.simulate.springs import Springs
from warpgs.simulate.state import State
from warpgs.simulate.step import Clock, Explicit, Solver
from warpgs.simulate.world import Parameters, World

__all__ = [
    "BackInTime",
    "Clock",
    "Collider",
    "Explicit",
    "Forecast",
    "Gradients",
    "Identified",
    "Implicit",
    "Instant",
    "Material",
    "Model",
    "Parameters",
    "PartMaterial",
    "Path",
    "PriorEnergy",
    "Setup",
    "SimulationFailure",
    "Solid",
    "Solver",
    "Springs",
    "State",
    "World",
    "box",
    "identify",
    "mesh",
    "plane",
    "read_material",
    "set_up",
    "simulate",
    "sphere",
]
