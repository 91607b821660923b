// Gates as piecewise polynomials of voltage.
#pragma once

template <class V, class M, class I> struct Segment {
    I index;
    V u;  // from -1/2 to 1/2 across the segment
    M outside;
    const R* tables;
};

// Whether registers pick coefficients, as below.
#if defined(__AVX512F__)
constexpr bool PERMUTED = sizeof(R) * W == 64;
#elif defined(__AVX2__)
constexpr bool PERMUTED = sizeof(R) == 4 && W == 8;
#else
constexpr bool PERMUTED = false;
#endif

// Where the tables are, anew for each node.  A compiler that knew it to be the same for all would load the tables before
// the loop, into more registers than there are, so copy them to the stack at every call: runs of nodes are often short.
INLINE const R* tables_again() {
    const R* tables = gate_tables;
#if !defined(__CUDACC__)
    if (PERMUTED) asm volatile("" : "+r"(tables));
#endif
    return tables;
}

INLINE Segment<V, M, I> segment_of(V v, R low) {
    const V x = (v - low) * gate_per_mV;
    constexpr R top = R(SEGMENTS) * (R(1) - (sizeof(R) == 8 ? R(0x1p-52) : R(0x1p-23)));  // next to the end of the last
    const V inside = least(most(x, c(0)), c(top));
    const I index = truncated(inside);
    // What is not a number counts as inside.
    const M outside = fabs_(x - R(SEGMENTS / 2)) > R(SEGMENTS / 2);
    return {index, inside - converted(index) - R(0.5), outside, tables_again()};
}

INLINE Segment<V2, M2, I2> segment_of(V2 v, R low) {
    const Segment<V, M, I> a = segment_of(v.a, low), b = segment_of(v.b, low);
    return {{a.index, b.index}, {a.u, b.u}, {a.outside, b.outside}, a.tables};
}

#if defined(__AVX512F__) && HPCFIT_LANES > 1
template <class V, class M> INLINE V permuted(V table, M index) {
    if constexpr (sizeof(R) == 4) return (V)_mm512_permutexvar_ps((__m512i)index, (__m512)table);
    else return (V)_mm512_permutexvar_pd((__m512i)index, (__m512d)table);
}

template <class V, class M> INLINE V permuted(V low, V high, M index) {
    if constexpr (sizeof(R) == 4) return (V)_mm512_permutex2var_ps((__m512)low, (__m512i)index, (__m512)high);
    else return (V)_mm512_permutex2var_pd((__m512d)low, (__m512i)index, (__m512d)high);
}
#endif

// One coefficient for each lane's segment.
INLINE V pick(const R* table, I index) {
#if HPCFIT_LANES > 1
#if defined(__AVX512F__)
    if constexpr (SEGMENTS == W && sizeof(R) * W == 64) return permuted(load(table), index);
    if constexpr (SEGMENTS == 2 * W && sizeof(R) * W == 64) return permuted(load(table), load(table + W), index);
#elif defined(__AVX2__)
    if constexpr (SEGMENTS == 2 * W && sizeof(R) * W == 32 && sizeof(R) == 4) {
        const __m256 low = _mm256_permutevar8x32_ps((__m256)load(table), (__m256i)index);
        const __m256 high = _mm256_permutevar8x32_ps((__m256)load(table + W), (__m256i)index);
        return (V)_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32((__m256i)index, 28)));
    }
#endif
    V chosen;
    for (int i = 0; i < W; ++i) chosen[i] = table[index[i]];
    return chosen;
#else
    return table[index];
#endif
}

INLINE V2 pick(const R* table, I2 index) {
#if HPCFIT_LANES > 1 && defined(__AVX512F__)
    if constexpr (SEGMENTS == 2 * W && sizeof(R) * W == 64) {
        V low = load(table), high = load(table + W);
        asm("" : "+v"(low), "+v"(high));  // or the compiler loads them again for the second node
        return {permuted(low, high, index.a), permuted(low, high, index.b)};
    }
#endif
    return {pick(table, index.a), pick(table, index.b)};
}

// first: where in the tables its coefficients begin, [powers][segments], lowest power first.
template <int DEGREE, class V, class M, class I> INLINE V polynomial(int first, const Segment<V, M, I>& at) {
    const R* const table = at.tables + first;
    V p = pick(table + DEGREE * SEGMENTS, at.index);
#if defined(__CUDACC__)
#pragma unroll
#else
#pragma GCC unroll 20
#endif
    for (int power = DEGREE - 1; power >= 0; --power) p = p * at.u + pick(table + power * SEGMENTS, at.index);
    return p;
}
