"""Minimizers on the device and schedules of their rates."""

from warpgs.optimize.adam import Adam
from warpgs.optimize.schedule import exponential_decay

__all__ = ["Adam", "exponential_decay"]
