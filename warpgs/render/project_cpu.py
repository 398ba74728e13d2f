"""3D Gaussians -> 2D splats and back for the CPU, eight particles at a time: the twin of the kernels of project.py,
which are the readable form, run on CUDA and know what is rarely asked for.

The C++ is in project_cpu_native.py; both are tested against the same float64 oracle.
"""

from functools import cache
from types import SimpleNamespace

import warp as wp

from warpgs.math.pinhole import view_struct
from warpgs.render.project_cpu_native import ADJOINT, FORWARD, Variant, snippet

BLOCK = 4096
"""Particles of a thread."""


@cache
def project_cpu_kernels(dtype: type, variant: Variant) -> SimpleNamespace:
    """The projection kernel and its adjoint, with the arguments of those of ``project_kernels``. A launch has one
    thread per BLOCK particles. Of harmonics, and of gradients of the pose, they know nothing."""
    real = dtype
    vec3 = wp.types.vector(3, dtype)
    quat = wp.types.quaternion(dtype)
    view_type = view_struct(dtype)

    @wp.func_native(snippet(FORWARD, dtype, variant))
    def project_lanes(
        means: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        log_scales: wp.array(dtype=vec3),
        colors: wp.array(dtype=vec3),
        opacity_logits: wp.array(dtype=real),
        foreground_logits: wp.array(dtype=real),
        features: wp.array2d(dtype=real),
        views: wp.array(dtype=view_type),
        view_index: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        depth_keys: wp.array(dtype=wp.int32),
        order: wp.array(dtype=wp.int32),
        begin: int,
        end: int,
    ): ...

    # named *_gradients: Warp declares an adj_ twin of every argument of a native function
    @wp.func_native(snippet(ADJOINT, dtype, variant))
    def project_lanes_adjoint(
        means: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        log_scales: wp.array(dtype=vec3),
        opacity_logits: wp.array(dtype=real),
        foreground_logits: wp.array(dtype=real),
        views: wp.array(dtype=view_type),
        view_index: wp.array(dtype=wp.int32),
        records: wp.array2d(dtype=real),
        splat_gradients: wp.array2d(dtype=real),
        depth_gradients: wp.array(dtype=real),
        mean_gradients: wp.array(dtype=vec3),
        rotation_gradients: wp.array(dtype=quat),
        log_scale_gradients: wp.array(dtype=vec3),
        color_gradients: wp.array(dtype=vec3),
        opacity_gradients: wp.array(dtype=real),
        share_gradients: wp.array(dtype=real),
        feature_gradients: wp.array2d(dtype=real),
        begin: int,
        end: int,
    ): ...

    @wp.kernel(module="unique", enable_backward=False)
    def project_lanes_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        log_scales: wp.array(dtype=vec3),
        colors: wp.array(dtype=vec3),
        opacity_logits: wp.array(dtype=real),
        foreground_logits: wp.array(dtype=real),
        harmonics: wp.array2d(dtype=vec3),  # unused
        features: wp.array2d(dtype=real),
        views: wp.array(dtype=view_type),
        view_index: wp.array(dtype=wp.int32),
        # outputs
        records: wp.array2d(dtype=real),
        depth_keys: wp.array(dtype=wp.int32),
        order: wp.array(dtype=wp.int32),
    ):
        begin = wp.tid() * wp.static(BLOCK)
        end = wp.min(begin + wp.static(BLOCK), means.shape[0])
        project_lanes(
            means, rotations, log_scales, colors, opacity_logits, foreground_logits, features, views, view_index,
            records, depth_keys, order, begin, end,
        )  # fmt: skip

    @wp.kernel(module="unique", enable_backward=False)
    def project_lanes_adjoint_kernel(
        # inputs
        means: wp.array(dtype=vec3),
        rotations: wp.array(dtype=quat),
        log_scales: wp.array(dtype=vec3),
        opacity_logits: wp.array(dtype=real),
        foreground_logits: wp.array(dtype=real),
        harmonics: wp.array2d(dtype=vec3),  # unused
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
        adj_harmonics: wp.array2d(dtype=vec3),  # unused
        adj_features: wp.array2d(dtype=real),
        adj_views: wp.array2d(dtype=wp.float64),  # unused
    ):
        begin = wp.tid() * wp.static(BLOCK)
        end = wp.min(begin + wp.static(BLOCK), adj_means.shape[0])
        project_lanes_adjoint(
            means, rotations, log_scales, opacity_logits, foreground_logits, views, view_index, records, adj_records,
            adj_depths, adj_means, adj_rotations, adj_log_scales, adj_colors, adj_opacity_logits,
            adj_foreground_logits, adj_features, begin, end,
        )  # fmt: skip

    return SimpleNamespace(forward=project_lanes_kernel, adjoint=project_lanes_adjoint_kernel)
