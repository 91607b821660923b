// Gates as piecewise polynomials of voltage: tables are [A, B][power][segment].
#pragma once

struct Segment {
    M index;
    V u;  // from -1/2 to 1/2 across the segment
};

INLINE Segment segment_of(V v) {
    V x = (v - gate_low) * gate_per_mV;
    x = least(most(x, c(0)), c(R(SEGMENTS) - R(1e-3)));
    const M index = __builtin_convertvector(x, M);
    return {index, x - __builtin_convertvector(index, V) - R(0.5)};
}

// One coefficient for each lane's segment.
INLINE V pick(const R* table, M index) {
    if constexpr (SEGMENTS == 2 * W) {
        return __builtin_shuffle(load(table), load(table + W), index);
    } else {
        V chosen;
        for (int i = 0; i < W; ++i) chosen[i] = table[index[i]];
        return chosen;
    }
}

INLINE V polynomial(const R* table, Segment at) {
    V p = pick(table + DEGREE * SEGMENTS, at.index);
    for (int power = DEGREE - 1; power >= 0; --power) p = p * at.u + pick(table + power * SEGMENTS, at.index);
    return p;
}

INLINE V advanced(const R* table, Segment at, V state) {
    const V a = polynomial(table, at), b = polynomial(table + (DEGREE + 1) * SEGMENTS, at);
    return state + (b - a * state);
}
