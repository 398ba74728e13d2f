"""3D Gaussians -> 2D splats: one record of numbers per particle, and the way back from splat gradients to parameter
gradients.

A record is RECORD + channels numbers: center x, y [px, pixel centers at integers]; inverse covariance a, b, c [1/px^2]
(a x^2 + 2 b x y + c y^2); log2 of the opacity; half width and half height of its box [px]; depth [m]; then the
channels. A splat that is not drawn has a negative half width. The gradient of a record is GRADIENT + channels numbers:
x, y, a, b, c, natural logarithm of the opacity; then the channels.

The adjoint is written by hand: the tape's own takes three times as long and this is a tenth of an iteration.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.math.pinhole import LOW_PASS_PX2, view_struct
from warpgs.math.rotation import rotation_funcs
from warpgs.math.warps import add_from_all
from warpgs.particles import Particles
from warpgs.render.project_cpu import BLOCK, project_cpu_kernels
from warpgs.render.project_cpu_native import Variant
from warpgs.render.shade import GRADIENT, HIDDEN_DEPTH, RECORD, shade_funcs


@cache
def project_kernels(
    dtype: type, channels: tuple[str, ...], features: int, harmonics: bool, antialiased: bool
) -> SimpleNamespace:
    """The projection kernel and its adjoint, see ``shade_funcs`` and ``project``. Compiled for what is asked for: a
    choice made inside costs a tenth of the time."""
    real = dtype
    vec2 = wp.types.vector(2, dtype)
    vec3 = wp.types.vector(3, dtype)
    quat = wp.types.quaternion(dtype)
    mat33 = wp.types.matrix((3, 3), dtype)
    view_type = view_struct(dtype)
    normalize_adjoint = rotation_funcs(dtype).normalize_adjoint
    low_pass = wp.constant(dtype(LOW_PASS_PX2))
    shading = shade_funcs(dtype, channels, features, harmonics)
    shade, shade_adjoint, sight = shading.shade, shading.shade_adjoint, shading.sight
    depth = channels.index("depth") if "depth" in channels else -1
    has_normal = any(name.startswith("normal") for name in channels)

    @wp.func
    def sigmoid(x: real):
        return real(1.0) / (real(1.0) + wp.exp(-x))

    @wp.func
    def tangents(p: vec3, z: real, view: view_type):
        """Slopes x/z, y/z at which the projection is linearized; 0 of an orthographic one, whose limit is 0."""
        limit = view.tangent_limit
        return vec2(wp.clamp(p[0] / z, -limit[0], limit[0]), wp.clamp(p[1] / z, -limit[1], limit[1]))

    @wp.func
    def divisor(p: vec3, view: view_type):
        """What shrinks with the distance is divided by this."""
        return wp.where(view.orthographic, real(1.0), p[2])

    @wp.func
    def jacobian_rows(axes: mat33, slope: vec2, z: real, focal: vec2):
        """Rows of J A in px, A = axes of the Gaussian in the camera frame as columns; the third row is unused."""
        u = (focal[0] / z) * (axes[0] - slope[0] * axes[2])
        v = (focal[1] / z) * (axes[1] - slope[1] * axes[2])
        return wp.matrix_from_rows(u, v, axes[2])

    @wp.func
    def scaled_axes(rotation: mat33, log_scale: vec3):
        return rotation * wp.diag(vec3(wp.exp(log_scale[0]), wp.exp(log_scale[1]), wp.exp(log_scale[2])))

    @wp.kernel(module="unique", enable_backward=False)
    def project_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        log_scales: wp.array(dtype=vec3),
        colors: wp.array(dtype=vec3),
        opacity_logits: wp.array(dtype=real),
        foreground_logits: wp.array(dtype=real),
        harmonics: wp.array2d(dtype=vec3),
        features: wp.array2d(dtype=real),
        views: wp.array(dtype=view_type),
        view_index: wp.array(dtype=wp.int32),
        # outputs
        records: wp.array2d(dtype=real),
        depth_keys: wp.array(dtype=wp.int32),
        order: wp.array(dtype=wp.int32),
    ):
        i = wp.tid()
        view = views[view_index[0]]
        order[i] = i
        depth_keys[i] = HIDDEN_DEPTH
        records[i, 6] = real(-1.0)
        p = view.rotation * means[i] + view.translation
        if p[2] < view.near:
            return
        turn = wp.quat_to_matrix(wp.normalize(rotations[i]))
        axes = scaled_axes(view.rotation * turn, log_scales[i])
        z = divisor(p, view)
        rows = jacobian_rows(axes, tangents(p, z, view), z, view.focal_px)
        xx = wp.dot(rows[0], rows[0]) + low_pass
        xy = wp.dot(rows[0], rows[1])
        yy = wp.dot(rows[1], rows[1]) + low_pass
        # xx yy - xy^2 by Lagrange's identity: the difference loses all its digits where a splat is long and thin
        across = wp.cross(rows[0], rows[1])
        area2 = wp.dot(across, across)
        inverse = real(1.0) / (area2 + low_pass * (xx + yy - low_pass))
        x = view.focal_px[0] * p[0] / z + view.center_px[0] - real(0.5)
        y = view.focal_px[1] * p[1] / z + view.center_px[1] - real(0.5)

        # alpha >= 1/255 inside an ellipse of this squared radius; it shrinks with the opacity
        opacity = sigmoid(opacity_logits[i])
        if wp.static(antialiased):  # the low pass spreads a splat: what it gains in area it loses in opacity
            opacity *= wp.sqrt(area2 * inverse)
        radius2 = real(2.0) * wp.log(real(255.0) * opacity)
        if radius2 <= real(0.0):
            return
        half_width = wp.sqrt(radius2 * xx)
        half_height = wp.sqrt(radius2 * yy)
        # a particle that is not finite is not drawn: its NaN would reach the gradients of all others in its tiles
        if not wp.isfinite(x + y + half_width + half_height + inverse + real(1.0) / wp.length(rotations[i])):
            return
        if x + half_width < real(0.0) or x - half_width > real(view.width - 1):
            return
        if y + half_height < real(0.0) or y - half_height > real(view.height - 1):
            return

        records[i, 0] = x
        records[i, 1] = y
        records[i, 2] = yy * inverse
        records[i, 3] = -xy * inverse
        records[i, 4] = xx * inverse
        records[i, 5] = wp.log2(opacity)
        records[i, 6] = half_width
        records[i, 7] = half_height
        records[i, 8] = p[2]
        shade(i, p, view, turn, log_scales[i], colors, harmonics, foreground_logits, features, records)
        depth_keys[i] = wp.cast(wp.float32(p[2]), wp.int32)  # positive floats sort like their bits

    @wp.func
    def quaternion_adjoint(q: quat, adj: mat33):
        """Gradient with respect to a quaternion that is normalized before it becomes a matrix, from that of the
        matrix."""
        n = wp.normalize(q)
        x, y, z, w = n[0], n[1], n[2], n[3]
        two = real(2.0)
        gx = two * (
            y * (adj[0, 1] + adj[1, 0])
            + z * (adj[0, 2] + adj[2, 0])
            + w * (adj[2, 1] - adj[1, 2])
            - two * x * (adj[1, 1] + adj[2, 2])
        )
        gy = two * (
            x * (adj[0, 1] + adj[1, 0])
            + z * (adj[1, 2] + adj[2, 1])
            + w * (adj[0, 2] - adj[2, 0])
            - two * y * (adj[0, 0] + adj[2, 2])
        )
        gz = two * (
            x * (adj[0, 2] + adj[2, 0])
            + y * (adj[1, 2] + adj[2, 1])
            + w * (adj[1, 0] - adj[0, 1])
            - two * z * (adj[0, 0] + adj[1, 1])
        )
        gw = two * (x * (adj[2, 1] - adj[1, 2]) + y * (adj[0, 2] - adj[2, 0]) + z * (adj[1, 0] - adj[0, 1]))
        return normalize_adjoint(q, quat(gx, gy, gz, gw))

    @wp.kernel(module="unique", enable_backward=False)
    def project_adjoint_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        log_scales: wp.array(dtype=vec3),
        opacity_logits: wp.array(dtype=real),
        foreground_logits: wp.array(dtype=real),
        harmonics: wp.array2d(dtype=vec3),
        views: wp.array(dtype=view_type),
        view_index: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        adj_records: wp.array2d(dtype=real),
        adj_depths: wp.array(dtype=real),
        # outputs, accumulated
        adj_means: wp.array(dtype=vec3),
        adj_rotations: wp.array(dtype=quat),
        adj_log_scales: wp.array(dtype=vec3),
        adj_colors: wp.array(dtype=vec3),
        adj_opacity_logits: wp.array(dtype=real),
        adj_foreground_logits: wp.array(dtype=real),
        adj_harmonics: wp.array2d(dtype=vec3),
        adj_features: wp.array2d(dtype=real),
        adj_views: wp.array2d(dtype=wp.float64),
    ):
        i = wp.tid()
        if records[i, 6] < real(0.0):
            return
        view = views[view_index[0]]
        focal = view.focal_px
        p = view.rotation * means[i] + view.translation
        z = divisor(p, view)
        slope = tangents(p, z, view)
        turn = wp.quat_to_matrix(wp.normalize(rotations[i]))
        axes = scaled_axes(view.rotation * turn, log_scales[i])
        rows = jacobian_rows(axes, slope, z, focal)

        # inverse covariance Q -> covariance: dL/dS = -Q G Q
        a, b, c = records[i, 2], records[i, 3], records[i, 4]
        ga, gb, gc = adj_records[i, 2], real(0.5) * adj_records[i, 3], adj_records[i, 4]
        t00, t01 = ga * a + gb * b, ga * b + gb * c
        t10, t11 = gb * a + gc * b, gb * b + gc * c
        g_xx = -(a * t00 + b * t10)
        g_xy = -(a * t01 + b * t11)
        g_yy = -(b * t01 + c * t11)
        e = real(0.5) * adj_records[i, 5]
        if wp.static(antialiased):  # ln det S appears in the logarithm of the opacity
            g_xx, g_xy, g_yy = g_xx - e * a, g_xy - e * b, g_yy - e * c
        g_u = real(2.0) * (g_xx * rows[0] + g_xy * rows[1])
        g_v = real(2.0) * (g_yy * rows[1] + g_xy * rows[0])
        if wp.static(antialiased):  # and so does ln |u x v|^2
            across = wp.cross(rows[0], rows[1])
            pull = real(2.0) * e / wp.dot(across, across)
            g_u += pull * wp.cross(rows[1], across)
            g_v += pull * wp.cross(across, rows[0])

        # rows of J A -> A, slopes and depth
        sx, sy = focal[0] / z, focal[1] / z
        g_axes = wp.matrix_from_rows(sx * g_u, sy * g_v, -(sx * slope[0]) * g_u - (sy * slope[1]) * g_v)
        g_slope_x = adj_records[i, 0] * focal[0]
        g_slope_y = adj_records[i, 1] * focal[1]
        g_p = vec3(g_slope_x, g_slope_y, real(0.0))
        if not view.orthographic:
            g_p = vec3(real(0.0), real(0.0), -(wp.dot(g_u, rows[0]) + wp.dot(g_v, rows[1])) / z)
            if wp.abs(p[0] / z) < view.tangent_limit[0]:
                g_slope_x -= sx * wp.dot(axes[2], g_u)
            if wp.abs(p[1] / z) < view.tangent_limit[1]:
                g_slope_y -= sy * wp.dot(axes[2], g_v)
            g_p += vec3(g_slope_x / z, g_slope_y / z, -(g_slope_x * p[0] + g_slope_y * p[1]) / (z * z))
        if wp.static(depth >= 0):
            g_p += vec3(real(0.0), real(0.0), adj_records[i, wp.static(GRADIENT + depth)])
        if adj_depths.shape[0] > 0:
            g_p += vec3(real(0.0), real(0.0), adj_depths[i])
        log_scale = log_scales[i]
        g_sight, g_turn = shade_adjoint(
            i, p, view, turn, log_scale, harmonics, foreground_logits, adj_records,
            adj_colors, adj_harmonics, adj_foreground_logits, adj_features,
        )  # fmt: skip
        g_p += wp.where(view.orthographic, vec3(), g_sight)
        if adj_views.shape[0] > 0:
            # a small turn w of the camera moves p by -w x p and each axis likewise; seen from the world, the line of
            # sight turns with the camera
            torque = wp.cross(sight(p, view), g_sight) - wp.cross(p, g_p)
            torque -= vec3(
                wp.dot(axes[1], g_axes[2]) - wp.dot(axes[2], g_axes[1]),
                wp.dot(axes[2], g_axes[0]) - wp.dot(axes[0], g_axes[2]),
                wp.dot(axes[0], g_axes[1]) - wp.dot(axes[1], g_axes[0]),
            )
            for k in range(3):
                add_from_all(adj_views, view_index[0], k, wp.float64(torque[k]))
                add_from_all(adj_views, view_index[0], 3 + k, wp.float64(-g_p[k]))
        adj_means[i] += wp.transpose(view.rotation) * g_p

        # A = W R diag(s)
        g_scaled = wp.transpose(view.rotation) * g_axes
        scale = vec3(wp.exp(log_scale[0]), wp.exp(log_scale[1]), wp.exp(log_scale[2]))
        adj_log_scales[i] += wp.cw_mul(scale, wp.get_diag(wp.transpose(turn) * g_scaled))
        g_rotation = g_scaled * wp.diag(scale)
        if wp.static(has_normal):
            g_rotation += g_turn
        adj_rotations[i] += quaternion_adjoint(rotations[i], g_rotation)
        adj_opacity_logits[i] += adj_records[i, 5] * sigmoid(-opacity_logits[i])

    return SimpleNamespace(forward=project_kernel, adjoint=project_adjoint_kernel)


def _kernels(particles: Particles, variant: Variant, portable: bool) -> tuple[SimpleNamespace, int]:
    """The kernels of a variant, and how many particles a thread of theirs takes: eight at a time on the CPU where
    nothing rare is asked for."""
    harmonics = particles.harmonics.shape[1] > 0
    if particles.device.is_cpu and not portable and not harmonics and variant.in_lanes:
        return project_cpu_kernels(particles.dtype, variant), BLOCK
    asked = variant.channels, variant.features, harmonics, variant.antialiased
    return project_kernels(particles.dtype, *asked), 1


def project(
    particles: Particles,
    features: wp.array2d,
    channels: tuple[str, ...],
    views: wp.array,
    view_index: wp.array[wp.int32],
    records: wp.array2d,
    depth_keys: wp.array[wp.int32],
    order: wp.array[wp.int32],
    *,
    antialiased: bool = False,
    portable: bool = False,
) -> None:
    """Write the splat records of all particles in one view.

    Args:
        particles: n particles.
        features: What else they show, shape [n, f]; f may be 0.
        channels: Names among CHANNELS.
        views: From ``upload_views``; ``view_index`` picks one.
        view_index: Index into ``views``, shape [1]: on the device, so that a captured graph can change cameras.
        records: Output, shape [n, RECORD + channels + f].
        depth_keys: Output, sort keys that grow with the distance from the camera plane, shape [>= n].
        order: Output, 0 .. n-1, shape [>= n].
        antialiased: Take from the opacity what the low pass adds to the area (Mip-Splatting, Yu et al. 2024).
        portable: Use the kernel of CUDA on the CPU too.
    """
    variant = Variant(tuple(channels), features.shape[1], antialiased)
    p = particles
    inputs = [p.means, p.rotations, p.log_scales, p.colors, p.opacity_logits, p.foreground_logits, p.harmonics]
    inputs += [features, views, view_index]
    outputs = [records, depth_keys, order]
    kernels, block = _kernels(p, variant, portable)
    wp.launch(kernels.forward, -(-len(p) // block), inputs, outputs, device=p.device, record_tape=False)


def project_adjoint(
    particles: Particles,
    channels: tuple[str, ...],
    views: wp.array,
    view_index: wp.array[wp.int32],
    records: wp.array2d,
    adj_records: wp.array2d,
    adj_depths: wp.array,
    gradients: Particles,
    adj_features: wp.array2d,
    adj_views: wp.array2d,
    *,
    antialiased: bool = False,
    portable: bool = False,
) -> None:
    """Add to ``gradients`` what ``adj_records`` [n, GRADIENT + channels + f] means for the parameters of its first n
    particles, and ``adj_depths`` [n], gradients by the depth beside it; the same for ``adj_features`` [n, f] and
    ``adj_views`` [views, 6]. Of the last three any may be left without rows."""
    variant = Variant(tuple(channels), records.shape[1] - RECORD - len(channels), antialiased)
    p, g = particles, gradients
    inputs = [p.means, p.rotations, p.log_scales, p.opacity_logits, p.foreground_logits, p.harmonics]
    inputs += [views, view_index, records, adj_records, adj_depths]
    outputs = [g.means, g.rotations, g.log_scales, g.colors, g.opacity_logits, g.foreground_logits, g.harmonics]
    outputs += [adj_features, adj_views]
    kernels, block = _kernels(p, variant, portable or adj_views.shape[0] > 0)
    wp.launch(kernels.adjoint, -(-len(g) // block), inputs, outputs, device=p.device, record_tape=False)
