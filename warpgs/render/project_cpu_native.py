"""The C++ of project_cpu.py: eight particles at a time, each number of theirs a vector of eight.

The formulas are those of project.py, with J W (two rows) multiplied by the orientation before the scales come in.
"""

from dataclasses import dataclass

import numpy as np

from warpgs.math.lanes import LANES, LOGARITHMS, TRIPLES, lanes
from warpgs.math.pinhole import LOW_PASS_PX2
from warpgs.render.shade import GRADIENT, HIDDEN_DEPTH, RECORD

_PRELUDE = (
    LANES
    + TRIPLES
    + LOGARITHMS
    + """
enum { RECORD = $RECORD, GRADIENT = $GRADIENT, CHANNELS = $CHANNELS, FEATURES = $FEATURES };
enum { STRIDE = RECORD + CHANNELS + FEATURES, ADJ_STRIDE = GRADIENT + CHANNELS + FEATURES };
const Real8 one = (Real8)(Real)1;
const auto& view = views.data[view_index.data[0]];
const auto& W = view.rotation.data;
const Real LOW_PASS = (Real)$LOW_PASS;

// Fewer than eight particles are left at the end of an array: they are read from a padded copy.
int first = begin, count = 8;
Real padded[32];
auto readable = [&](const auto& array, int width) -> const Real* {
    const Real* from = (const Real*)array.data + (size_t)first * width;
    if (count == 8) return from;
    for (int k = 0; k < 8 * width; k++) padded[k] = k < count * width ? from[k] : (Real)0;
    return padded;
};
// Calls add(numbers) to add to the numbers of eight particles.
auto accumulate = [&](const auto& array, int width, auto add) {
    Real* to = (Real*)array.data + (size_t)first * width;
    if (count == 8) { add(to); return; }
    for (int k = 0; k < 8 * width; k++) padded[k] = k < count * width ? to[k] : (Real)0;
    add(padded);
    for (int k = 0; k < count * width; k++) to[k] = padded[k];
};
auto clamped = [](Real8 x, Real limit) -> Real8 {
    x = x < -limit ? (Real8)-limit : x;
    return x > limit ? (Real8)limit : x;
};

struct Splat {
    Real8 px, py, pz;  // center [m], camera frame
    Real8 inverse_z, slope_x, slope_y;  // slopes x/z and y/z, not yet clamped
    Real8 sx, sy, tx, ty;  // focal lengths over z; slopes at which the projection is linearized
    Quad n;  // orientation, of length 1
    Real8 inverse_length;  // of the quaternion
    Real8 scale[3], R[3][3], jx[3], jy[3];  // R: world from particle; j: rows of J W [px/m]
    Real8 u[3], v[3];  // rows of J A [px], see project.py
    Real8 ax, ay, az;  // u x v
};
auto project = [&]() -> Splat {
    Splat s;
    const Triple m = load_triples(readable(means, 3));
    s.px = W[0][0] * m.x + W[0][1] * m.y + W[0][2] * m.z + view.translation[0];
    s.py = W[1][0] * m.x + W[1][1] * m.y + W[1][2] * m.z + view.translation[1];
    s.pz = W[2][0] * m.x + W[2][1] * m.y + W[2][2] * m.z + view.translation[2];
    s.inverse_z = view.orthographic ? one : one / s.pz;
    s.slope_x = s.px * s.inverse_z; s.slope_y = s.py * s.inverse_z;
    s.tx = clamped(s.slope_x, view.tangent_limit[0]); s.ty = clamped(s.slope_y, view.tangent_limit[1]);
    s.sx = view.focal_px[0] * s.inverse_z; s.sy = view.focal_px[1] * s.inverse_z;

    const Quad q = load_quads(readable(rotations, 4));
    s.inverse_length = one / root(q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w);
    s.n = {q.x * s.inverse_length, q.y * s.inverse_length, q.z * s.inverse_length, q.w * s.inverse_length};
    const Real8 x = s.n.x, y = s.n.y, z = s.n.z, w = s.n.w, two = (Real8)(Real)2;
    s.R[0][0] = one - two * (y * y + z * z); s.R[0][1] = two * (x * y - z * w); s.R[0][2] = two * (x * z + y * w);
    s.R[1][0] = two * (x * y + z * w); s.R[1][1] = one - two * (x * x + z * z); s.R[1][2] = two * (y * z - x * w);
    s.R[2][0] = two * (x * z - y * w); s.R[2][1] = two * (y * z + x * w); s.R[2][2] = one - two * (x * x + y * y);

    const Triple log_scale = load_triples(readable(log_scales, 3));
    s.scale[0] = exp(log_scale.x); s.scale[1] = exp(log_scale.y); s.scale[2] = exp(log_scale.z);
    for (int j = 0; j < 3; j++) {
        s.jx[j] = s.sx * (W[0][j] - s.tx * W[2][j]);
        s.jy[j] = s.sy * (W[1][j] - s.ty * W[2][j]);
    }
    for (int k = 0; k < 3; k++) {
        s.u[k] = (s.jx[0] * s.R[0][k] + s.jx[1] * s.R[1][k] + s.jx[2] * s.R[2][k]) * s.scale[k];
        s.v[k] = (s.jy[0] * s.R[0][k] + s.jy[1] * s.R[1][k] + s.jy[2] * s.R[2][k]) * s.scale[k];
    }
    s.ax = s.u[1] * s.v[2] - s.u[2] * s.v[1];
    s.ay = s.u[2] * s.v[0] - s.u[0] * s.v[2];
    s.az = s.u[0] * s.v[1] - s.u[1] * s.v[0];
    return s;
};
auto dot = [](const Real8* a, const Real8* b) -> Real8 { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; };
"""
)

FORWARD = """
for (; first < end; first += 8) {
    count = wp::min(8, end - first);
    const Splat s = project();
    const Real8 xx = dot(s.u, s.u) + LOW_PASS, xy = dot(s.u, s.v), yy = dot(s.v, s.v) + LOW_PASS;
    const Real8 area2 = s.ax * s.ax + s.ay * s.ay + s.az * s.az;
    const Real8 inverse = one / (area2 + LOW_PASS * (xx + yy - LOW_PASS));
    const Real8 x = view.focal_px[0] * s.slope_x + (view.center_px[0] - (Real)0.5);
    const Real8 y = view.focal_px[1] * s.slope_y + (view.center_px[1] - (Real)0.5);

    Real8 log_opacity = -log2(one + exp(-load(readable(opacity_logits, 1))));
#if $ANTIALIASED
    log_opacity += (Real)0.5 * log2(area2 * inverse);
#endif
    const Real8 radius2 = (Real)(2.0 * 0.6931471805599453) * (log_opacity + (Real)$LOG2_255);
    const Real8 half_width = root(radius2 * xx), half_height = root(radius2 * yy);
    // a particle that is not finite is not drawn
    const Real8 all = x + y + half_width + half_height + inverse + s.inverse_length;
    const Bits8 drawn = (s.pz >= view.near) & (radius2 > (Real)0) & (all - all == (Real)0)
        & (x + half_width >= (Real)0) & (x - half_width <= (Real)(view.width - 1))
        & (y + half_height >= (Real)0) & (y - half_height <= (Real)(view.height - 1));

    Rows rows = {x, y, yy * inverse, -xy * inverse, xx * inverse, log_opacity, half_width, half_height};
    for (int k = 0; k < 8; k++) rows.r[k] = drawn ? rows.r[k] : zero;
    rows.r[6] = drawn ? rows.r[6] : (Real8)(Real)-1;
    rows = transposed(rows);
    for (int i = 0; i < count; i++) *(Real8*)(records.data + (size_t)(first + i) * STRIDE) = rows.r[i];

#if $HAS_COLOR
    const Triple color = load_triples(readable(colors, 3));
#endif
#if $HAS_SHARE
    const Real8 against = exp(-load(readable(foreground_logits, 1))), share = one / (one + against);
#endif
    const Real8 shown[1 + CHANNELS] = {s.pz$SHOWN};
    for (int c = 0; c < 1 + CHANNELS; c += 8) {
        const int width = wp::min(8, 1 + (int)CHANNELS - c);
        Rows group = {zero, zero, zero, zero, zero, zero, zero, zero};
        for (int k = 0; k < width; k++) group.r[k] = shown[c + k];
        group = transposed(group);
        for (int i = 0; i < count; i++)
            __builtin_memcpy(records.data + (size_t)(first + i) * STRIDE + RECORD - 1 + c, &group.r[i],
                             width * sizeof(Real));
    }
    for (int i = 0; i < count; i++)
        for (int f = 0; f < FEATURES; f++)
            records.data[(size_t)(first + i) * STRIDE + RECORD + CHANNELS + f]
                = features.data[(size_t)(first + i) * FEATURES + f];

    // positive floats sort like their bits
    typedef float Float8 __attribute__((ext_vector_type(8)));
    typedef int Int8 __attribute__((ext_vector_type(8)));
    const Int8 hidden = (Int8)$HIDDEN_DEPTH, bits = __builtin_bit_cast(Int8, __builtin_convertvector(s.pz, Float8));
    const Int8 keys = __builtin_convertvector(drawn, Int8) ? bits : hidden;
    for (int i = 0; i < count; i++) { depth_keys.data[first + i] = keys[i]; order.data[first + i] = first + i; }
}
"""

ADJOINT = """
for (; first < end; first += 8) {
    count = wp::min(8, end - first);
    // the eight rows of an array, as lanes of each column
    auto columns = [&](const Real* from, int stride, int begin_column, int width) -> Rows {
        const Real* at = from + (size_t)first * stride + begin_column;
        Rows rows = {zero, zero, zero, zero, zero, zero, zero, zero};
        if (width < 4) {  // number by number
            for (int k = 0; k < width; k++)
                for (int i = 0; i < count; i++) rows.r[k][i] = at[i * stride + k];
            return rows;
        }
        for (int i = 0; i < count; i++) __builtin_memcpy(&rows.r[i], at + i * stride, width * sizeof(Real));
        return transposed(rows);
    };
    const Rows record = columns(records.data, STRIDE, 0, 8);
    const Bits8 drawn = record.r[6] >= (Real)0;
    if (!__builtin_reduce_or(drawn)) continue;
    Real8 g[ADJ_STRIDE];
    for (int c = 0; c < ADJ_STRIDE; c += 8) {
        const int width = wp::min(8, (int)ADJ_STRIDE - c);
        const Rows group = columns(splat_gradients.data, ADJ_STRIDE, c, width);
        for (int k = 0; k < width; k++) g[c + k] = group.r[k];
    }
    auto kept = [&](Real8 x) -> Real8 { return drawn ? x : zero; };
    const Splat s = project();

    // inverse covariance Q -> covariance: dL/dS = -Q G Q
    const Real8 a = record.r[2], b = record.r[3], c = record.r[4];
    const Real8 ga = g[2], gb = (Real)0.5 * g[3], gc = g[4];
    const Real8 t00 = ga * a + gb * b, t01 = ga * b + gb * c, t10 = gb * a + gc * b, t11 = gb * b + gc * c;
    Real8 g_xx = -(a * t00 + b * t10), g_xy = -(a * t01 + b * t11), g_yy = -(b * t01 + c * t11);
#if $ANTIALIASED
    // ln det S appears in the logarithm of the opacity, and so does ln |u x v|^2
    const Real8 e = (Real)0.5 * g[5];
    g_xx -= e * a; g_xy -= e * b; g_yy -= e * c;
    const Real8 pull = (Real)2 * e / (s.ax * s.ax + s.ay * s.ay + s.az * s.az);
    const Real8* u = s.u, *v = s.v;
    const Real8 pull_u[] = {v[1] * s.az - v[2] * s.ay, v[2] * s.ax - v[0] * s.az, v[0] * s.ay - v[1] * s.ax};
    const Real8 pull_v[] = {s.ay * u[2] - s.az * u[1], s.az * u[0] - s.ax * u[2], s.ax * u[1] - s.ay * u[0]};
#endif
    Real8 g_log_scale[3], scaled_u[3], scaled_v[3];  // gradients by the rows of J W R
    Real8 axis_u = zero, axis_v = zero;  // those along the third row of W R
    for (int k = 0; k < 3; k++) {
        Real8 g_u = (Real)2 * (g_xx * s.u[k] + g_xy * s.v[k]), g_v = (Real)2 * (g_yy * s.v[k] + g_xy * s.u[k]);
#if $ANTIALIASED
        g_u += pull * pull_u[k]; g_v += pull * pull_v[k];
#endif
        g_log_scale[k] = g_u * s.u[k] + g_v * s.v[k];
        scaled_u[k] = g_u * s.scale[k]; scaled_v[k] = g_v * s.scale[k];
        const Real8 forward = W[2][0] * s.R[0][k] + W[2][1] * s.R[1][k] + W[2][2] * s.R[2][k];
        axis_u += forward * scaled_u[k]; axis_v += forward * scaled_v[k];
    }

    Real8 g_slope_x = g[0] * view.focal_px[0], g_slope_y = g[1] * view.focal_px[1];
    Real8 g_x = g_slope_x, g_y = g_slope_y, g_z = zero;
    if (!view.orthographic) {
        const Real limit_x = view.tangent_limit[0], limit_y = view.tangent_limit[1];
        g_slope_x -= __builtin_elementwise_abs(s.slope_x) < limit_x ? s.sx * axis_u : zero;
        g_slope_y -= __builtin_elementwise_abs(s.slope_y) < limit_y ? s.sy * axis_v : zero;
        g_x = g_slope_x * s.inverse_z;
        g_y = g_slope_y * s.inverse_z;
        g_z = -(g_log_scale[0] + g_log_scale[1] + g_log_scale[2] + g_slope_x * s.slope_x + g_slope_y * s.slope_y)
              * s.inverse_z;
    }
#if $DEPTH >= 0
    g_z += g[GRADIENT + $DEPTH];
#endif
    if (depth_gradients.shape[0] > 0) g_z += load(readable(depth_gradients, 1));
    g_x = kept(g_x); g_y = kept(g_y); g_z = kept(g_z);
    accumulate(mean_gradients, 3, [&](Real* to) {
        add_triples(to, {W[0][0] * g_x + W[1][0] * g_y + W[2][0] * g_z, W[0][1] * g_x + W[1][1] * g_y + W[2][1] * g_z,
                         W[0][2] * g_x + W[1][2] * g_y + W[2][2] * g_z});
    });
    accumulate(log_scale_gradients, 3, [&](Real* to) {
        add_triples(to, {kept(g_log_scale[0]), kept(g_log_scale[1]), kept(g_log_scale[2])});
    });

    Real8 G[3][3];  // by R
    for (int j = 0; j < 3; j++)
        for (int k = 0; k < 3; k++) G[j][k] = s.jx[j] * scaled_u[k] + s.jy[j] * scaled_v[k];
    const Real8 x = s.n.x, y = s.n.y, z = s.n.z, w = s.n.w;
    const Real8 mixed_xy = G[0][1] + G[1][0], mixed_xz = G[0][2] + G[2][0], mixed_yz = G[1][2] + G[2][1];
    const Real8 turn_x = G[2][1] - G[1][2], turn_y = G[0][2] - G[2][0], turn_z = G[1][0] - G[0][1];
    const Real8 q[] = {y * mixed_xy + z * mixed_xz + w * turn_x - (Real)2 * x * (G[1][1] + G[2][2]),
                       x * mixed_xy + z * mixed_yz + w * turn_y - (Real)2 * y * (G[0][0] + G[2][2]),
                       x * mixed_xz + y * mixed_yz + w * turn_z - (Real)2 * z * (G[0][0] + G[1][1]),
                       x * turn_x + y * turn_y + z * turn_z};
    const Real8 radial = x * q[0] + y * q[1] + z * q[2] + w * q[3], twice = (Real)2 * s.inverse_length;
    accumulate(rotation_gradients, 4, [&](Real* to) {
        add_quads(to, {kept((q[0] - x * radial) * twice), kept((q[1] - y * radial) * twice),
                       kept((q[2] - z * radial) * twice), kept((q[3] - w * radial) * twice)});
    });

    const Real8 transparent = one - one / (one + exp(-load(readable(opacity_logits, 1))));
    accumulate(opacity_gradients, 1, [&](Real* to) { *(Real8*)to += kept(g[5] * transparent); });
#if $HAS_COLOR
    accumulate(color_gradients, 3, [&](Real* to) {
        add_triples(to, {kept($ADJ_RED), kept($ADJ_GREEN), kept($ADJ_BLUE)});
    });
#endif
#if $HAS_SHARE
    const Real8 against = exp(-load(readable(foreground_logits, 1))), share = one / (one + against);
    const Real8 g_share = $ADJ_FOREGROUND - $ADJ_BACKGROUND;
    accumulate(share_gradients, 1, [&](Real* to) { *(Real8*)to += kept(g_share * share * (against * share)); });
#endif
    if (feature_gradients.shape[0] > 0)
        for (int i = 0; i < count; i++)
            for (int f = 0; f < FEATURES; f++)
                if (drawn[i])
                    feature_gradients.data[(size_t)(first + i) * FEATURES + f] += g[GRADIENT + CHANNELS + f][i];
}
"""

_SHOWN = {
    "red": "color.x",
    "green": "color.y",
    "blue": "color.z",
    "foreground": "share",
    "background": "against * share",
    "depth": "s.pz",
}
"""What the record holds of a channel."""


@dataclass(frozen=True)
class Variant:
    """What the code is compiled for, see ``project_kernels``."""

    channels: tuple[str, ...]
    features: int
    antialiased: bool

    @property
    def in_lanes(self) -> bool:
        """Whether every channel is one of those written in vectors."""
        return set(self.channels) <= set(_SHOWN)


def snippet(text: str, dtype: type, variant: Variant) -> str:
    """Body of a function of particles ``begin`` to ``end``; the names of its arguments are those of project_cpu.py."""
    channels = variant.channels
    gradients = {name: f"g[GRADIENT + {channels.index(name)}]" if name in channels else "zero" for name in _SHOWN}
    values = {
        "RECORD": RECORD,
        "GRADIENT": GRADIENT,
        "CHANNELS": len(channels),
        "FEATURES": variant.features,
        "ANTIALIASED": int(variant.antialiased),
        "HAS_COLOR": int(not {"red", "green", "blue"}.isdisjoint(channels)),
        "HAS_SHARE": int(not {"foreground", "background"}.isdisjoint(channels)),
        "SHOWN": "".join(f", {_SHOWN[name]}" for name in channels),
        "DEPTH": channels.index("depth") if "depth" in channels else -1,
        "LOW_PASS": LOW_PASS_PX2,
        "LOG2_255": float(np.log2(255.0)),
        "HIDDEN_DEPTH": HIDDEN_DEPTH,
        **{f"ADJ_{name.upper()}": value for name, value in gradients.items()},
    }
    text = _PRELUDE + text
    for name, value in values.items():
        text = text.replace("$" + name, str(value))
    return "{" + lanes(text, dtype) + "}"
