"""What a splat shows: the channels of its record, and the way back from their gradients.

These functions run inside the kernels of project.py: a pass of its own over the particles would cost more than the
arithmetic.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.math.harmonics import harmonics_funcs
from warpgs.math.pinhole import view_struct
from warpgs.render.channels import CHANNELS

RECORD = 9
"""Numbers of a record before its channels, see project.py."""
GRADIENT = 6
"""Numbers of the gradient of a record before its channels, see project.py."""
HIDDEN_DEPTH = 0x7F000000
"""Sort key of a splat that is not drawn: larger than that of any float32 depth in use."""


@cache
def shade_funcs(dtype: type, channels: tuple[str, ...], features: int, harmonics: bool) -> SimpleNamespace:
    """Functions for numbers of ``dtype``, ``channels`` of CHANNELS and so many user features behind them.

    Without ``harmonics`` colors do not depend on the line of sight: their code, even unused, costs a tenth.

    - ``shade(i, p, view, turn, log_scale, colors, harmonics, foreground_logits, features, records)`` writes the
      channels of splat i, whose center is ``p`` [m], camera frame, and whose orientation is ``turn``, world from
      particle.
    - ``shade_adjoint(i, p, view, turn, log_scale, harmonics, foreground_logits, adj_records, adj_colors,
      adj_harmonics, adj_foreground_logits, adj_features)`` adds to the gradients and returns those by the line of
      sight, camera frame, and by ``turn``.
    - ``sight(p, view)``: the line of sight to ``p``, camera frame, of any length.
    """
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    mat33 = wp.types.matrix((3, 3), dtype)
    view_type = view_struct(dtype)
    radiance, radiance_adjoint = harmonics_funcs(dtype).radiance, harmonics_funcs(dtype).radiance_adjoint
    slots = {name: channels.index(name) if name in channels else -1 for name in CHANNELS}
    red, green, blue = slots["red"], slots["green"], slots["blue"]
    foreground, background, depth = slots["foreground"], slots["background"], slots["depth"]
    normal_x, normal_y, normal_z = slots["normal_x"], slots["normal_y"], slots["normal_z"]
    has_color = max(red, green, blue) >= 0
    has_share = max(foreground, background) >= 0
    has_normal = max(normal_x, normal_y, normal_z) >= 0
    first_feature, feature_count = len(channels), features
    has_harmonics = harmonics and has_color

    @wp.func
    def sigmoid(x: real):
        return real(1.0) / (real(1.0) + wp.exp(-x))

    @wp.func
    def put(records: wp.array2d(dtype=real), i: int, slot: int, value: real):
        """Write a channel, if it is drawn."""
        if slot >= 0:
            records[i, wp.static(RECORD) + slot] = value

    @wp.func
    def adj_of(adj_records: wp.array2d(dtype=real), i: int, slot: int):
        """Gradient of a channel, 0 where it is not drawn."""
        g = real(0.0)
        if slot >= 0:
            g = adj_records[i, wp.static(GRADIENT) + slot]
        return g

    @wp.func
    def sight(p: vec3, view: view_type):
        return wp.where(view.orthographic, vec3(real(0.0), real(0.0), real(1.0)), p)

    @wp.func
    def shortest(log_scale: vec3):
        """Index of the shortest axis."""
        k = int(0)
        if log_scale[1] < log_scale[0]:
            k = int(1)
        if log_scale[2] < log_scale[k]:
            k = int(2)
        return k

    @wp.func
    def facing(axis: vec3, p: vec3, view: view_type):
        """1 where ``axis``, world frame, points to the camera, otherwise -1."""
        return wp.where(wp.dot(view.rotation * axis, sight(p, view)) > real(0.0), real(-1.0), real(1.0))

    @wp.func
    def shade(
        i: int,
        p: vec3,
        view: view_type,
        turn: mat33,
        log_scale: vec3,
        colors: wp.array(dtype=vec3),
        harmonics: wp.array2d(dtype=vec3),
        foreground_logits: wp.array(dtype=real),
        features: wp.array2d(dtype=real),
        records: wp.array2d(dtype=real),
    ):
        if wp.static(has_color):
            color = colors[i]
            if wp.static(has_harmonics):
                color += radiance(harmonics, i, wp.transpose(view.rotation) * sight(p, view))
            put(records, i, red, color[0])
            put(records, i, green, color[1])
            put(records, i, blue, color[2])
        if wp.static(foreground >= 0):
            put(records, i, foreground, sigmoid(foreground_logits[i]))
        if wp.static(background >= 0):
            put(records, i, background, sigmoid(-foreground_logits[i]))
        put(records, i, depth, p[2])
        if wp.static(has_normal):
            k = shortest(log_scale)
            axis = vec3(turn[0, k], turn[1, k], turn[2, k])
            axis = axis * facing(axis, p, view)
            put(records, i, normal_x, axis[0])
            put(records, i, normal_y, axis[1])
            put(records, i, normal_z, axis[2])
        for c in range(wp.static(feature_count)):
            records[i, wp.static(RECORD + first_feature) + c] = features[i, c]

    @wp.func
    def shade_adjoint(
        i: int,
        p: vec3,
        view: view_type,
        turn: mat33,
        log_scale: vec3,
        harmonics: wp.array2d(dtype=vec3),
        foreground_logits: wp.array(dtype=real),
        adj_records: wp.array2d(dtype=real),
        adj_colors: wp.array(dtype=vec3),
        adj_harmonics: wp.array2d(dtype=vec3),
        adj_foreground_logits: wp.array(dtype=real),
        adj_features: wp.array2d(dtype=real),
    ):
        g_sight, g_turn = vec3(), mat33()
        if wp.static(has_color):
            g_color = vec3(
                adj_of(adj_records, i, red),
                adj_of(adj_records, i, green),
                adj_of(adj_records, i, blue),
            )
            adj_colors[i] += g_color
            if wp.static(has_harmonics):
                toward = wp.transpose(view.rotation) * sight(p, view)
                g_sight = view.rotation * radiance_adjoint(harmonics, i, toward, g_color, adj_harmonics)
        if wp.static(has_share):
            g_share = adj_of(adj_records, i, foreground) - adj_of(adj_records, i, background)
            logit = foreground_logits[i]
            adj_foreground_logits[i] += g_share * sigmoid(logit) * sigmoid(-logit)
        if wp.static(has_normal):
            g_axis = vec3(
                adj_of(adj_records, i, normal_x),
                adj_of(adj_records, i, normal_y),
                adj_of(adj_records, i, normal_z),
            )
            k = shortest(log_scale)
            sign = facing(vec3(turn[0, k], turn[1, k], turn[2, k]), p, view)
            for row in range(3):
                g_turn[row, k] = sign * g_axis[row]
        if adj_features.shape[0] > 0:
            for c in range(wp.static(feature_count)):
                adj_features[i, c] += adj_records[i, wp.static(GRADIENT + first_feature) + c]
        return g_sight, g_turn

    return SimpleNamespace(shade=shade, shade_adjoint=shade_adjoint, sight=sight)
