// Gates as piecewise polynomials of voltage.
#pragma once

template <class V, class M> struct Segment {
    M index;
    V u;  // from -1/2 to 1/2 across the segment
    M outside;
};

INLINE Segment<V, M> segment_of(V v, R low) {
    const V x = (v - low) * gate_per_mV;
    constexpr R top = R(SEGMENTS) * (R(1) - (sizeof(R) == 8 ? R(0x1p-52) : R(0x1p-23)));  // next to the end of the last
    const V inside = least(most(x, c(0)), c(top));
    const M index = __builtin_convertvector(inside, M);
    // What is not a number counts as inside.
    return {index, inside - __builtin_convertvector(index, V) - R(0.5), fabs_(x - R(SEGMENTS / 2)) > R(SEGMENTS / 2)};
}

INLINE Segment<V2, M2> segment_of(V2 v, R low) {
    const Segment<V, M> a = segment_of(v.a, low), b = segment_of(v.b, low);
    return {{a.index, b.index}, {a.u, b.u}, {a.outside, b.outside}};
}

// One coefficient for each lane's segment.
INLINE V pick(const R* table, M index) {
#if defined(__AVX512F__)
    if constexpr (SEGMENTS == 2 * W && sizeof(R) * W == 64)
        return __builtin_shuffle(load(table), load(table + W), index);
#endif
#if defined(__AVX2__) && !defined(__AVX512F__)
    if constexpr (SEGMENTS == 2 * W && sizeof(R) * W == 32 && sizeof(R) == 4) {
        const __m256 low = _mm256_permutevar8x32_ps((__m256)load(table), (__m256i)index);
        const __m256 high = _mm256_permutevar8x32_ps((__m256)load(table + W), (__m256i)index);
        return (V)_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32((__m256i)index, 28)));
    }
#endif
    V chosen;
    for (int i = 0; i < W; ++i) chosen[i] = table[index[i]];
    return chosen;
}

INLINE V2 pick(const R* table, M2 index) {
#if defined(__AVX512F__)
    if constexpr (SEGMENTS == 2 * W && sizeof(R) * W == 64) {
        V low = load(table), high = load(table + W);
        asm("" : "+v"(low), "+v"(high));  // or the compiler loads them again for the second node
        return {__builtin_shuffle(low, high, index.a), __builtin_shuffle(low, high, index.b)};
    }
#endif
    return {pick(table, index.a), pick(table, index.b)};
}

// table: [powers][segments], lowest power first.
template <int DEGREE, class V, class M> INLINE V polynomial(const R* table, const Segment<V, M>& at) {
    V p = pick(table + DEGREE * SEGMENTS, at.index);
#pragma GCC unroll 20
    for (int power = DEGREE - 1; power >= 0; --power) p = p * at.u + pick(table + power * SEGMENTS, at.index);
    return p;
}
