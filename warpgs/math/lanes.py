"""C++ for native functions that work on eight numbers at a time, in clang vector types: Warp's own vectors of eight
take twice as long. For the CPU only."""

import math

import warp as wp

LANES = """
#pragma clang fp contract(fast)
typedef $REAL Real;
typedef Real Real8 __attribute__((ext_vector_type(8), aligned(sizeof(Real))));
struct Rows { Real8 r[8]; };
const Real8 zero = (Real8)(Real)0;

#define LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define FIRST(a, b) __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define SECOND(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define FRONT(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define BACK(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
auto transposed = [](const Rows& in) -> Rows {
    const Real8* r = in.r;
    const Real8 a = LOW(r[0], r[1]), b = HIGH(r[0], r[1]), c = LOW(r[2], r[3]), d = HIGH(r[2], r[3]);
    const Real8 e = LOW(r[4], r[5]), f = HIGH(r[4], r[5]), g = LOW(r[6], r[7]), h = HIGH(r[6], r[7]);
    const Real8 ac = FIRST(a, c), ca = SECOND(a, c), bd = FIRST(b, d), db = SECOND(b, d);
    const Real8 eg = FIRST(e, g), ge = SECOND(e, g), fh = FIRST(f, h), hf = SECOND(f, h);
    return {FRONT(ac, eg), FRONT(ca, ge), FRONT(bd, fh), FRONT(db, hf),
            BACK(ac, eg), BACK(ca, ge), BACK(bd, fh), BACK(db, hf)};
};
auto load = [](const Real* at) -> Real8 { return *(const Real8*)at; };
auto root = [](Real8 x) -> Real8 { return __builtin_elementwise_sqrt(x); };
"""
"""Types, loads and the transpose of eight by eight numbers."""

TRIPLES = """
// Eight vectors that lie one after the other in memory, as lanes of each coordinate, and back.
#define MIX(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
struct Triple { Real8 x, y, z; };
struct Quad { Real8 x, y, z, w; };
auto load_triples = [&](const Real* at) -> Triple {
    const Real8 a = load(at), b = load(at + 8), c = load(at + 16);
    return {MIX(MIX(a, b, 0, 3, 6, 9, 12, 15, -1, -1), c, 0, 1, 2, 3, 4, 5, 10, 13),
            MIX(MIX(a, b, 1, 4, 7, 10, 13, -1, -1, -1), c, 0, 1, 2, 3, 4, 8, 11, 14),
            MIX(MIX(a, b, 2, 5, 8, 11, 14, -1, -1, -1), c, 0, 1, 2, 3, 4, 9, 12, 15)};
};
auto add_triples = [&](Real* at, const Triple& t) {
    const Real8 low = MIX(t.x, t.y, 0, 8, 1, 9, 2, 10, 3, 11), high = MIX(t.x, t.y, 4, 12, 5, 13, 6, 14, 7, 15);
    *(Real8*)at += MIX(low, t.z, 0, 1, 8, 2, 3, 9, 4, 5);
    *(Real8*)(at + 8) += MIX(MIX(low, high, 6, 7, 8, 9, 10, 11, -1, -1), t.z, 10, 0, 1, 11, 2, 3, 12, 4);
    *(Real8*)(at + 16) += MIX(high, t.z, 3, 13, 4, 5, 14, 6, 7, 15);
};
#define EVEN(a, b) MIX(a, b, 0, 4, 8, 12, 1, 5, 9, 13)
#define ODD(a, b) MIX(a, b, 2, 6, 10, 14, 3, 7, 11, 15)
auto load_quads = [&](const Real* at) -> Quad {
    const Real8 a = load(at), b = load(at + 8), c = load(at + 16), d = load(at + 24);
    const Real8 xy = EVEN(a, b), zw = ODD(a, b), xy_behind = EVEN(c, d), zw_behind = ODD(c, d);
    return {FRONT(xy, xy_behind), BACK(xy, xy_behind), FRONT(zw, zw_behind), BACK(zw, zw_behind)};
};
auto add_quads = [&](Real* at, const Quad& q) {
    const Real8 xy = FRONT(q.x, q.y), zw = FRONT(q.z, q.w), xy_behind = BACK(q.x, q.y), zw_behind = BACK(q.z, q.w);
    *(Real8*)at += EVEN(xy, zw);
    *(Real8*)(at + 8) += ODD(xy, zw);
    *(Real8*)(at + 16) += EVEN(xy_behind, zw_behind);
    *(Real8*)(at + 24) += ODD(xy_behind, zw_behind);
};
"""
"""Vectors and quaternions; after LANES."""

LOGARITHMS = """
// Exponential and logarithm to a few units in the last place; NaN stays NaN.
typedef decltype(Real8() < Real8()) Bits8;  // int, or whichever long the compiler compares doubles to
const Real LOG2E = (Real)1.4426950408889634;
const Real LN2_HIGH = (Real)0.693145751953125;  // of few digits, so that products with whole numbers are exact
const Real LN2_LOW = (Real)1.4286068203094172e-06;
const Real EXPONENT_LIMIT = (Real)$EXPONENT_LIMIT;  // its exponential and the inverse of that are normal numbers
const Real EXP[] = {$EXP}, LOG[] = {$LOG};  // highest power first
const Bits8 ROOT_HALF = __builtin_bit_cast(Bits8, (Real8)(Real)0.7071067811865476);
auto exp = [&](Real8 x) -> Real8 {
    const Real8 low = x < -EXPONENT_LIMIT ? (Real8)-EXPONENT_LIMIT : x;
    const Real8 bounded = low > EXPONENT_LIMIT ? (Real8)EXPONENT_LIMIT : low;
    const Real8 whole = __builtin_elementwise_roundeven(bounded * LOG2E);
    const Real8 f = (bounded - whole * LN2_HIGH) - whole * LN2_LOW;
    Real8 p = (Real8)EXP[0];
    for (int i = 1; i < $EXP_TERMS; i++) p = p * f + EXP[i];
    const Bits8 exponent = __builtin_convertvector(whole, Bits8) << $MANTISSA;
    return x == x ? __builtin_bit_cast(Real8, __builtin_bit_cast(Bits8, p) + exponent) : x;
};
auto log2 = [&](Real8 x) -> Real8 {  // of a positive number
    const Bits8 bits = __builtin_bit_cast(Bits8, x), exponent = (bits - ROOT_HALF) >> $MANTISSA;
    const Real8 m = __builtin_bit_cast(Real8, bits - (exponent << $MANTISSA));
    const Real8 t = (m - (Real)1) / (m + (Real)1), square = t * t;
    Real8 p = (Real8)LOG[0];
    for (int i = 1; i < $LOG_TERMS; i++) p = p * square + LOG[i];
    return x == x ? __builtin_convertvector(exponent, Real8) + t * p : x;
};
"""
"""Functions; after LANES. Taylor series: of exp on |x| <= ln(2) / 2, and of the area tangent for the logarithm."""


def lanes(text: str, dtype: type) -> str:
    """``text``, of which the above may be part, for numbers of ``dtype``."""
    double = dtype is wp.float64
    exp_terms, log_terms = (14, 11) if double else (8, 5)
    exponential = [1.0 / math.factorial(k) for k in reversed(range(exp_terms))]
    logarithm = [2.0 / (math.log(2.0) * (2 * k + 1)) for k in reversed(range(log_terms))]
    values = {
        "REAL": "double" if double else "float",
        "EXPONENT_LIMIT": 700 if double else 86,
        "EXP_TERMS": exp_terms,
        "LOG_TERMS": log_terms,
        "EXP": ", ".join(f"(Real){value!r}" for value in exponential),
        "LOG": ", ".join(f"(Real){value!r}" for value in logarithm),
        "MANTISSA": 52 if double else 23,
    }
    for name, value in values.items():
        text = text.replace("$" + name, str(value))
    return text
