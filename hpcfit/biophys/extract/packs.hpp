// How are many samples looked at by one instruction?  Packs as wide as the processor's registers, and bits that say
// where in them a test holds.
//
// LANES is 1 on a device, where a thread has its own trace, and wherever HPCFIT_EXTRACT_LANES says so.  What is
// computed from packs does not depend on their width: sums have an order of their own, an extreme is the same in any.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#if !defined(HPCFIT_EXTRACT_LANES)
#if defined(__CUDACC__)
#define HPCFIT_EXTRACT_LANES 1
#elif defined(__AVX512F__)
#define HPCFIT_EXTRACT_LANES 8
#elif defined(__AVX2__)
#define HPCFIT_EXTRACT_LANES 4
#else
#define HPCFIT_EXTRACT_LANES 2
#endif
#endif

#if defined(__CUDACC__)
#if HPCFIT_EXTRACT_LANES != 1
#error "on a device a thread has its own trace: HPCFIT_EXTRACT_LANES must be 1"
#endif
// Calls stay calls: with all of them inlined, the device's assembler ran out of memory.
#define DEVICE __device__ __noinline__
#define INLINE __device__ inline
#define FIXED __device__ const
#define SELDOM DEVICE
#else
#define DEVICE
#define FIXED static const
#define INLINE inline __attribute__((always_inline))
#define SELDOM __attribute__((noinline))
#endif

#if HPCFIT_EXTRACT_LANES >= 4
#include <immintrin.h>
#endif

namespace features {

constexpr int LANES = HPCFIT_EXTRACT_LANES;  // doubles in a pack
typedef uint64_t Bits;

INLINE int smaller(int a, int b) { return a < b ? a : b; }
INLINE int larger(int a, int b) { return a > b ? a : b; }

// The next number: what is at or above it is strictly above x.  (std's would be host code to nvcc.)
INLINE double just_above(double x) { return ::nextafter(x, double(INFINITY)); }
INLINE double just_below(double x) { return ::nextafter(x, -double(INFINITY)); }

INLINE int first_bit(Bits bits) {
#if defined(__CUDACC__)
    return __ffsll((long long)bits) - 1;
#else
    return __builtin_ctzll(bits);
#endif
}
INLINE int last_bit(Bits bits) {
#if defined(__CUDACC__)
    return 63 - __clzll((long long)bits);
#else
    return 63 - __builtin_clzll(bits);
#endif
}
// CACHE: 3 the first level, 2 the second.
template <int CACHE> INLINE void prefetch(const void* at) {
#if !defined(__CUDACC__)
    __builtin_prefetch(at, 0, CACHE);
#endif
}

#if HPCFIT_EXTRACT_LANES > 1
constexpr int WIDTH = 8 * LANES;
template <class Number> struct PackOf {
    typedef Number Type __attribute__((vector_size(WIDTH)));
};
template <class Number> INLINE typename PackOf<Number>::Type load(const Number* from) {
    typename PackOf<Number>::Type loaded;
    std::memcpy(&loaded, from, sizeof loaded);
    return loaded;
}
typedef PackOf<double>::Type Pack;
INLINE Pack all(double x) { return x - Pack{}; }  // not Pack{} + x: that changes -0
INLINE void store(double* to, Pack x) { std::memcpy(to, &x, sizeof x); }
INLINE Pack as_doubles(const double* from) { return load(from); }
template <class P> INLINE P least(P a, P b) { return a < b ? a : b; }
template <class P> INLINE P most(P a, P b) { return a > b ? a : b; }
#if HPCFIT_EXTRACT_LANES == 8
INLINE Pack as_doubles(const float* from) { return _mm512_cvtps_pd(_mm256_loadu_ps(from)); }
INLINE Pack counted_from(int i) {
    return _mm512_cvtepi32_pd(_mm256_add_epi32(_mm256_set1_epi32(i), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
}
INLINE __m512d least(__m512d a, __m512d b) { return _mm512_min_pd(a, b); }
INLINE __m512d most(__m512d a, __m512d b) { return _mm512_max_pd(a, b); }
INLINE __m512 least(__m512 a, __m512 b) { return _mm512_min_ps(a, b); }
INLINE __m512 most(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }
INLINE double least_lane(__m512d a) { return _mm512_reduce_min_pd(a); }
INLINE float least_lane(__m512 a) { return _mm512_reduce_min_ps(a); }
INLINE double most_lane(__m512d a) { return _mm512_reduce_max_pd(a); }
INLINE float most_lane(__m512 a) { return _mm512_reduce_max_ps(a); }
INLINE Bits below(Pack a, Pack b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
INLINE Bits at_most(Pack a, Pack b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
INLINE Bits equal(Pack a, Pack b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
INLINE Pack only_first(int count, Pack x, double other) {
    return count < LANES ? _mm512_mask_mov_pd(all(other), __mmask8((1 << count) - 1), x) : x;
}
#else
INLINE Pack as_doubles(const float* from) {
    Pack loaded;
    for (int lane = 0; lane < LANES; ++lane) loaded[lane] = from[lane];
    return loaded;
}
INLINE Pack counted_from(int i) {
    Pack counted;
    for (int lane = 0; lane < LANES; ++lane) counted[lane] = i + lane;
    return counted;
}
template <class P> INLINE auto least_lane(P a) {
    auto found = a[0];
    for (unsigned lane = 1; lane < sizeof a / sizeof a[0]; ++lane) found = a[lane] < found ? a[lane] : found;
    return found;
}
template <class P> INLINE auto most_lane(P a) { return -least_lane(-a); }
typedef decltype(Pack{} < Pack{}) Test;
INLINE Bits bits_of(Test test) {
#if HPCFIT_EXTRACT_LANES == 4
    return _mm256_movemask_pd((__m256d)test);
#else
    Bits bits = 0;
    for (int lane = 0; lane < LANES; ++lane) bits |= Bits(test[lane] & 1) << lane;
    return bits;
#endif
}
INLINE Bits below(Pack a, Pack b) { return bits_of(a < b); }
INLINE Bits at_most(Pack a, Pack b) { return bits_of(a <= b); }
INLINE Bits equal(Pack a, Pack b) { return bits_of(a == b); }
INLINE Pack only_first(int count, Pack x, double other) {
    for (int lane = count; lane < LANES; ++lane) x[lane] = other;
    return x;
}
#endif
INLINE Pack absolute(Pack x) { return x < 0 ? -x : x; }
#else
template <class Number> struct PackOf {
    typedef Number Type;
};
template <class Number> INLINE Number load(const Number* from) { return *from; }
typedef double Pack;
INLINE Pack all(double x) { return x; }
INLINE void store(double* to, Pack x) { *to = x; }
INLINE Pack as_doubles(const double* from) { return *from; }
INLINE Pack as_doubles(const float* from) { return *from; }
INLINE Pack counted_from(int i) { return i; }
template <class P> INLINE P least(P a, P b) { return a < b ? a : b; }
template <class P> INLINE P most(P a, P b) { return a > b ? a : b; }
template <class P> INLINE P least_lane(P a) { return a; }
template <class P> INLINE P most_lane(P a) { return a; }
INLINE Bits below(Pack a, Pack b) { return a < b; }
INLINE Bits at_most(Pack a, Pack b) { return a <= b; }
INLINE Bits equal(Pack a, Pack b) { return a == b; }
INLINE Pack only_first(int, Pack x, double) { return x; }
INLINE Pack absolute(Pack x) { return x < 0 ? -x : x; }
#endif

// Bit i: whether test, of a pack that begins at i, holds there; i < count <= 64.
template <class Test> INLINE Bits bits(int count, Test test) {
    Bits found = 0;
    for (int i = 0; i < count; i += LANES) found |= test(i) << i;
    return count < 64 ? found & ((Bits(1) << count) - 1) : found;
}

struct Least {
    int at;  // the first place
    double value;
};
// The least value(k), a pack that begins at k, of begin <= k < end.
template <class Value> INLINE Least first_least(int begin, int end, Value value) {
    Pack low = all(INFINITY);
    for (int k = begin; k < end; k += LANES) low = least(only_first(end - k, value(k), INFINITY), low);
    const double lowest = least_lane(low);
    for (int k = begin; k < end; k += LANES)
        if (const Bits here = equal(value(k), all(lowest))) return {k + first_bit(here), lowest};
    return {begin, lowest};
}

}  // namespace features
