"""Rotations on the device beyond what Warp has: exponential map, gradients of unit quaternions."""

from functools import cache
from types import SimpleNamespace

import warp as wp


@cache
def rotation_funcs(dtype: type) -> SimpleNamespace:
    """Functions on quaternions (x, y, z, w) of ``dtype``, wp.float32 or wp.float64.

    - ``exp_map(rotation_vector)``: unit quaternion that turns by \\|v\\| [rad] about v.
    - ``turn_between(rotation, reference)``: rotation * reference^-1, a unit quaternion; ``reference`` must be one.
    - ``torque_gradient(turn, torque)``: gradient with respect to a unit quaternion (tangent to the sphere), from the
      derivative with respect to a small rotation vector added on the left, in the world frame.
    - ``normalize_adjoint(rotation, adj_unit)``: adjoint of wp.normalize: tangent to the sphere, over the length.
    - ``turn_adjoint(rotation, reference, adj_turn)``: adjoint of turn_between with respect to ``rotation``, which
      need not be normalized.
    """
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    quat = wp.types.quaternion(dtype)

    @wp.func
    def exp_map(rotation_vector: vec3):
        square = wp.dot(rotation_vector, rotation_vector)
        angle = wp.sqrt(wp.max(square, real(1e-30)))  # the adjoint of the root is infinite at zero
        # sin(angle / 2) / angle by its series where the quotient loses digits; the next term is below 1e-17
        factor = real(0.5) - square / real(48.0) + square * square / real(3840.0)
        if square > real(1e-4):
            factor = wp.sin(real(0.5) * angle) / angle
        v = rotation_vector * factor
        return wp.normalize(quat(v[0], v[1], v[2], wp.cos(real(0.5) * angle)))

    @wp.func
    def turn_between(rotation: quat, reference: quat):
        return wp.normalize(rotation) * quat(-reference[0], -reference[1], -reference[2], reference[3])

    @wp.func
    def torque_gradient(turn: quat, torque: vec3):
        # exp(v) q moves q by (v / 2, 0) q, of length |v| / 2, hence the factor 2 = 1/2 / (1/2)^2
        t = real(2.0) * torque
        return quat(t[0], t[1], t[2], real(0.0)) * turn

    @wp.func
    def normalize_adjoint(rotation: quat, adj_unit: quat):
        unit = wp.normalize(rotation)
        return (adj_unit - unit * wp.dot(unit, adj_unit)) / wp.length(rotation)

    @wp.func
    def turn_adjoint(rotation: quat, reference: quat, adj_turn: quat):
        # multiplying by a unit quaternion on the right is an isometry: its adjoint multiplies by the inverse
        return normalize_adjoint(rotation, adj_turn * reference)

    return SimpleNamespace(
        exp_map=exp_map,
        turn_between=turn_between,
        torque_gradient=torque_gradient,
        normalize_adjoint=normalize_adjoint,
        turn_adjoint=turn_adjoint,
    )
