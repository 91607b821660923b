// Lanes: a vector of W numbers of type R, with the functions that mechanisms use.
//
// The including file defines HPCFIT_REAL (float or double) and HPCFIT_LANES.  On a host W individuals share one
// instruction stream: V is a vector, M a vector of 0 and -1, I a vector of integers.  On a device a lane is a thread and
// W is 1: they are R itself, bool and an integer.  Polynomials are ours: errors are stated beside them.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#if HPCFIT_LANES > 1 && defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__CUDACC__)
#if HPCFIT_LANES != 1
#error "on a device a lane is a thread: HPCFIT_LANES must be 1"
#endif
// Not for the host as well: it could not read the arrays.
#define DEVICE __device__
#define FIXED static __device__ const
#else
#define DEVICE
#define FIXED static const
#endif
#define INLINE DEVICE static inline __attribute__((always_inline))
#define INLINE_MEMBER DEVICE inline __attribute__((always_inline))
#define NOINLINE DEVICE __attribute__((noinline))
#define SELDOM DEVICE __attribute__((noinline, cold))

typedef HPCFIT_REAL R;
constexpr int W = HPCFIT_LANES;

template <typename T> struct Bits;
template <> struct Bits<double> {
    typedef int64_t S;
    static constexpr int mantissa = 52;
    static constexpr S bias = 1023;
    static constexpr double magic = 0x1.8p52;
};
template <> struct Bits<float> {
    typedef int32_t S;
    static constexpr int mantissa = 23;
    static constexpr S bias = 127;
    static constexpr float magic = 0x1.8p23f;
};

#if HPCFIT_LANES > 1
typedef R V __attribute__((vector_size(sizeof(R) * W)));
typedef R Loose __attribute__((vector_size(sizeof(R) * W), aligned(sizeof(R)), may_alias));  // in a caller's array
typedef Bits<R>::S I __attribute__((vector_size(sizeof(R) * W)));
typedef I M;

INLINE V c(R value) { return value - V{}; }  // not V{} + value: that changes -0, so is an addition
INLINE V load(const R* p) { return *reinterpret_cast<const Loose*>(p); }
INLINE void store(R* p, V x) { *reinterpret_cast<Loose*>(p) = x; }
INLINE I truncated(V x) { return __builtin_convertvector(x, I); }
INLINE V converted(I x) { return __builtin_convertvector(x, V); }
INLINE I one_more_where(M test, I x) { return x - test; }
INLINE M not_(M test) { return ~test; }
INLINE bool is_set(M test, int lane) { return test[lane]; }
INLINE bool any_(M test) {
    if constexpr (sizeof(M) == 64) {
#if defined(__AVX512F__)
        return _mm512_test_epi32_mask((__m512i)test, (__m512i)test) != 0;
#endif
    }
    uint64_t words[sizeof(M) / 8], found = 0;
    std::memcpy(words, &test, sizeof test);
    for (uint64_t word : words) found |= word;
    return found != 0;
}
#else
typedef R V;
typedef Bits<R>::S I;
typedef bool M;

INLINE V c(R value) { return value; }
INLINE V load(const R* p) { return *p; }
INLINE void store(R* p, V x) { *p = x; }
INLINE I truncated(V x) { return I(x); }
INLINE V converted(I x) { return V(x); }
INLINE I one_more_where(M test, I x) { return x + I(test); }
INLINE M not_(M test) { return !test; }
INLINE bool is_set(M test, int) { return test; }
INLINE bool any_(M test) { return test; }
#endif

INLINE I as_int(V x) { I y; std::memcpy(&y, &x, sizeof x); return y; }
INLINE V as_real(I x) { V y; std::memcpy(&y, &x, sizeof x); return y; }
INLINE V choose(M test, V yes, V no) { return test ? yes : no; }
INLINE V least(V a, V b) { return a < b ? a : b; }
INLINE V most(V a, V b) { return a > b ? a : b; }
INLINE V fabs_(V x) { return x < 0 ? -x : x; }

// exp(r) - 1 for |r| <= ln(2)/2: Taylor, relative error below 1 unit in the last place of R.
INLINE V expm1_small(V r) {
    V p;
    if constexpr (sizeof(R) == 8) {
        p = c(R(1.0 / 6227020800.0));
        p = p * r + R(1.0 / 479001600.0);
        p = p * r + R(1.0 / 39916800.0);
        p = p * r + R(1.0 / 3628800.0);
        p = p * r + R(1.0 / 362880.0);
        p = p * r + R(1.0 / 40320.0);
        p = p * r + R(1.0 / 5040.0);
    } else {
        p = c(R(1.0 / 5040.0));
    }
    p = p * r + R(1.0 / 720.0);
    p = p * r + R(1.0 / 120.0);
    p = p * r + R(1.0 / 24.0);
    p = p * r + R(1.0 / 6.0);
    p = p * r + R(0.5);
    return r + r * r * p;
}

// x = n ln 2 + r; gives r and 2^n.  Arguments are kept where 2^n is a normal number.
INLINE V reduce(V x, V& power) {
    constexpr R top = sizeof(R) == 8 ? R(709.0) : R(88.0), bottom = sizeof(R) == 8 ? R(-707.0) : R(-87.0);
    x = choose(x > top, c(top), choose(x < bottom, c(bottom), x));
    V t = x * R(1.4426950408889634) + Bits<R>::magic;
    V n = t - Bits<R>::magic;
    power = as_real((as_int(t) - as_int(c(Bits<R>::magic)) + Bits<R>::bias) << Bits<R>::mantissa);
    if constexpr (sizeof(R) == 8)
        return (x - n * R(0.69314718036912381649)) - n * R(1.9082149292705877e-10);
    else
        return (x - n * R(0.693359375)) - n * R(-2.12194440e-4);
}

INLINE V exp_(V x) {
    V power, r = reduce(x, power);
    return power * expm1_small(r) + power;
}

INLINE V expm1_(V x) {
    V power, r = reduce(x, power);
    return power * expm1_small(r) + (power - R(1));
}

// Natural logarithm of normal positive numbers; series of 2 atanh((m - 1) / (m + 1)).
INLINE V log_(V x) {
    I bits = as_int(x);
    I exponent = (bits >> Bits<R>::mantissa) - Bits<R>::bias;
    I one = as_int(c(R(1)));
    V m = as_real((bits & ((typename Bits<R>::S(1) << Bits<R>::mantissa) - 1)) | one);
    M big = m > R(1.4142135623730951);
    m = choose(big, m * R(0.5), m);
    V n = converted(one_more_where(big, exponent));
    V s = (m - R(1)) / (m + R(1)), z = s * s, p;
    if constexpr (sizeof(R) == 8) {
        p = c(R(1.0 / 21));
        p = p * z + R(1.0 / 19);
        p = p * z + R(1.0 / 17);
        p = p * z + R(1.0 / 15);
        p = p * z + R(1.0 / 13);
        p = p * z + R(1.0 / 11);
    } else {
        p = c(R(1.0 / 11));
    }
    p = p * z + R(1.0 / 9);
    p = p * z + R(1.0 / 7);
    p = p * z + R(1.0 / 5);
    p = p * z + R(1.0 / 3);
    V small = 2 * s + 2 * s * z * p;
    V result = n * R(0.69314718036912381649) + (small + n * R(1.9082149292705877e-10));
    result = choose(x > R(0), result, choose(x == R(0), c(-R(INFINITY)), c(R(NAN))));
    return choose(x == R(INFINITY), x, result);
}

INLINE V pow_(V x, V y) { return choose(x == R(0), choose(y == R(0), c(R(1)), c(R(0))), exp_(y * log_(x))); }

// The rest goes lane by lane through the C library: none of it is in a hot path.
#if HPCFIT_LANES > 1
#define HPCFIT_BY_LANE(name)                            \
    INLINE V name##_(V x) {                             \
        for (int i = 0; i < W; ++i) x[i] = std::name(x[i]); \
        return x;                                       \
    }
#else
#define HPCFIT_BY_LANE(name) \
    INLINE V name##_(V x) { return std::name(x); }
#endif
HPCFIT_BY_LANE(sqrt)
HPCFIT_BY_LANE(log10)
HPCFIT_BY_LANE(sin)
HPCFIT_BY_LANE(cos)
HPCFIT_BY_LANE(tan)
HPCFIT_BY_LANE(tanh)
HPCFIT_BY_LANE(sinh)
HPCFIT_BY_LANE(cosh)
HPCFIT_BY_LANE(floor)
HPCFIT_BY_LANE(ceil)
HPCFIT_BY_LANE(asin)
HPCFIT_BY_LANE(acos)
HPCFIT_BY_LANE(atan)
HPCFIT_BY_LANE(erf)

#if HPCFIT_LANES > 1
#define HPCFIT_BY_LANE2(name)                                     \
    INLINE V name##_(V x, V y) {                                  \
        for (int i = 0; i < W; ++i) x[i] = std::name(x[i], y[i]); \
        return x;                                                 \
    }
#else
#define HPCFIT_BY_LANE2(name) \
    INLINE V name##_(V x, V y) { return std::name(x, y); }
#endif
HPCFIT_BY_LANE2(atan2)
HPCFIT_BY_LANE2(fmod)

// A TABLE, read as NEURON reads it: linear between `count` + 1 equidistant points, constant outside, NaN at NaN.
INLINE R looked_up_at(const R* table, int count, R at) {
    const int index = at > R(0) ? (at < R(count) ? int(at) : count - 1) : 0;
    const R between = table[index] + (at - R(index)) * (table[index + 1] - table[index]);
    return at <= R(0) ? table[0] : at >= R(count) ? table[count] : between;
}

INLINE V looked_up(const R* table, int count, R low, R per_unit, V x) {
    const V place = (x - low) * per_unit;
#if HPCFIT_LANES > 1
    V result;
    for (int i = 0; i < W; ++i) result[i] = looked_up_at(table, count, place[i]);
    return result;
#else
    return looked_up_at(table, count, place);
#endif
}
