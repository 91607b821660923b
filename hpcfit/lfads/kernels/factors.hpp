// What products multiply: numbers R, or pairs of bfloat16 (HPCFIT_BF16) whose products are added to a float32 sum.
//
// Where the processor has no instruction for pairs (AVX512_BF16), operands are rounded to bfloat16 and multiplied as
// float32: the same rounding, not the speed.
#pragma once
#include <cstdlib>

#include "lanes.hpp"

#if defined(HPCFIT_BF16) && defined(__AVX512BF16__)
#include <immintrin.h>

constexpr int PAIR = 2;
typedef uint32_t Factor;
typedef I Factors;

INLINE V plus_product(V sum, Factor w, Factors x) {
    return (V)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)_mm512_set1_epi32(int(w)));
}

// From the first and the last of PAIR numbers that belong together: lane i holds first[i], last[i].
INLINE Factors combined(V first, V last) {
    alignas(64) static const int16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                  8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)last, (__m512)first);
    return (Factors)_mm512_permutexvar_epi16(_mm512_load_si512(order), both);
}

// Neighbouring lanes together: W / PAIR of them from each vector.
INLINE void neighbours(const V* from, int vectors, Factor* to) {
    for (int v = 0; v < vectors; v++) {
        __m256i half = (__m256i)_mm512_cvtneps_pbh((__m512)from[v]);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + v * W / 2), half);
    }
}
#else
constexpr int PAIR = 1;
typedef R Factor;
typedef V Factors;

INLINE V plus_product(V sum, Factor w, Factors x) { return sum + all(w) * x; }

INLINE Factors combined(V first, V) {
#ifdef HPCFIT_BF16  // to the nearest bfloat16, ties to even
    I bits;
    memcpy(&bits, &first, sizeof bits);
    bits = (bits + 0x7fff + ((bits >> 16) & 1)) & ~0xffff;
    memcpy(&first, &bits, sizeof bits);
#endif
    return first;
}

INLINE void neighbours(const V* from, int vectors, Factor* to) {
    for (int v = 0; v < vectors; v++) {
        V x = combined(from[v], from[v]);
        memcpy(to + v * W, &x, sizeof x);
    }
}
#endif

INLINE Factor combined(R first, R last) {
    Factors both = combined(all(first), all(last));
    Factor one;
    memcpy(&one, &both, sizeof one);
    return one;
}

// Memory of a thread for operands in the form in which they are multiplied.
template <typename T, int WHICH> static T* operands(long count) {
    struct Kept {
        T* at = nullptr;
        long room = 0;
        ~Kept() { free(at); }
    };
    static thread_local Kept kept;
    if (count > kept.room) {
        free(kept.at);
        kept.room = (count + 63) / 64 * 64;
        kept.at = static_cast<T*>(aligned_alloc(VECTOR_BYTES, kept.room * sizeof(T)));
    }
    return kept.at;
}
