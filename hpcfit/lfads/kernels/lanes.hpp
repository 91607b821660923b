// Vectors of W trials, and the functions of one number that a GRU needs.
//
// The build defines HPCFIT_REAL (float or double).  All is written with the compiler's vector extensions; the width
// follows the target.  Errors of exp, sigmoid and tanh: at most 3 units in the last place (docs/lfads_kernels.md).
#pragma once
#include <cstdint>
#include <cstring>

typedef HPCFIT_REAL R;
#define INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int ROWS = 12;  // of a product's register block: 24 of 32 registers hold sums
#else
constexpr int ROWS = 6;
#endif

constexpr int W = VECTOR_BYTES / sizeof(R);
constexpr int TILE = 2 * W;  // trials of a whole tile

template <typename T> struct Whole;
template <> struct Whole<float> {
    typedef int32_t I;
    static constexpr int mantissa = 23, bias = 127, terms = 7;
    static constexpr float high = 0.693359375f, low = -2.12194440e-4f, most = 87.0f, magic = 0x1.8p23f;
};
template <> struct Whole<double> {
    typedef int64_t I;
    static constexpr int mantissa = 52, bias = 1023, terms = 13;
    static constexpr double high = 0.693145751953125, low = 1.42860682030941723212e-6, most = 700.0, magic = 0x1.8p52;
};
typedef Whole<R> Number;

typedef R V __attribute__((vector_size(VECTOR_BYTES)));
typedef R Loose __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(R)), may_alias));
typedef Number::I I __attribute__((vector_size(VECTOR_BYTES)));

INLINE V all(R value) { return value - V{}; }  // not V{} + value: that would change -0

// exp(x) = 2^n (1 + p), |x| <= Number::most: gives 2^n and p, so that exp and exp - 1 are both exact near zero.
INLINE void exp_parts(V x, V& scale, V& rest) {
    V n = (x * all(R(1.4426950408889634)) + all(Number::magic)) - all(Number::magic);
    V r = (x - n * all(Number::high)) - n * all(Number::low);
    V sum = all(R(1) / Number::terms);
#pragma GCC unroll 16
    for (int i = Number::terms - 1; i >= 1; i--) sum = (all(R(1)) + r * sum) * all(R(1) / i);
    rest = r * sum;
    I power = (__builtin_convertvector(n, I) + Number::bias) << Number::mantissa;
    memcpy(&scale, &power, sizeof scale);
}

INLINE V bounded(V x, R by) {  // what is not a number stays so
    V low = all(-by), high = all(by);
    return x < low ? low : (x > high ? high : x);
}

INLINE V exponential(V x) {
    V scale, rest;
    exp_parts(bounded(x, Number::most), scale, rest);
    return x > all(Number::most) ? all(R(__builtin_inf())) : scale + scale * rest;
}

INLINE V sigmoid(V x) { return all(R(1)) / (all(R(1)) + exponential(-x)); }

INLINE V hyperbolic_tangent(V x) {  // e / (e + 2) with e = exp(2 x) - 1: exact to the last places near zero too
    V scale, rest;
    exp_parts(bounded(x + x, R(50)), scale, rest);
    V e = scale * rest + (scale - all(R(1)));
    return e / (e + all(R(2)));
}

INLINE V square_root(V x) {
    V root;
    for (int lane = 0; lane < W; lane++) root[lane] = __builtin_sqrt(x[lane]);
    return root;
}

INLINE R sum_of(V x) {
    R total = 0;
    for (int lane = 0; lane < W; lane++) total += x[lane];
    return total;
}

// Lane i is lane from[i] of a, or from[i] - W of b.
INLINE V shuffled(V a, V b, I from) {
#ifdef __clang__
    V x;
    for (int lane = 0; lane < W; lane++) x[lane] = from[lane] < W ? a[from[lane]] : b[from[lane] - W];
    return x;
#else
    return __builtin_shuffle(a, b, from);
#endif
}

// W vectors of W numbers, rows for columns, in place.
template <int HALF = W / 2> INLINE void transpose(V* x) {
    if constexpr (HALF >= 1) {
        I first, second;
        for (int lane = 0; lane < W; lane++) {
            first[lane] = lane & HALF ? W + lane - HALF : lane;
            second[lane] = lane & HALF ? W + lane : lane + HALF;
        }
#pragma GCC unroll 16
        for (int i = 0; i < W; i++)
            if (!(i & HALF)) {
                V a = x[i], b = x[i + HALF];
                x[i] = shuffled(a, b, first), x[i + HALF] = shuffled(a, b, second);
            }
        transpose<HALF / 2>(x);
    }
}
