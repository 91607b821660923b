// Products of weights with a tile of trials, and the sums over time and trials that are their gradients.
//
// A tile holds `NV` vectors of trials for each unit: V in[units][NV].  Weights are packed once per call, in the order
// in which a register block reads them.
#pragma once
#include "factors.hpp"

// Row-major weights (rows, columns), packed: blocks of at most ROWS rows, within a block column (pair) by column.
struct Packed {
    const Factor* at;
    int rows, columns;
};

INLINE int blocks_of(int rows) { return (rows + ROWS - 1) / ROWS; }
INLINE int block_start(int rows, int block) { return int(long(rows) * block / blocks_of(rows)); }
INLINE int factors_of(int columns) { return (columns + PAIR - 1) / PAIR; }

// transposed: `rows` counts the columns of what lies at w.
static Packed pack(const R* w, int rows, int columns, bool transposed, Factor* room) {
    Factor* to = room;
    auto weight = [&](int n, int k) {
        return k >= columns ? R(0) : transposed ? w[long(k) * rows + n] : w[long(n) * columns + k];
    };
    for (int block = 0; block < blocks_of(rows); block++)
        for (int k = 0; k < columns; k += PAIR)
            for (int n = block_start(rows, block); n < block_start(rows, block + 1); n++)
                *to++ = combined(weight(n, k), weight(n, k + PAIR - 1));
    return {room, rows, columns};
}

// A tile in the form in which it is multiplied: itself, or copied.
template <int NV> INLINE const Factors* multiplied(const V* in, int columns) {
#ifndef HPCFIT_BF16
    (void)columns;
    return in;
#else
    Factors* to = operands<Factors, 0>(long(factors_of(columns)) * NV);
    for (int k = 0; k < columns; k += PAIR)
        for (int v = 0; v < NV; v++) {
            int last = k + PAIR - 1;
            to[k / PAIR * NV + v] = combined(in[k * NV + v], last < columns ? in[last * NV + v] : V{});
        }
    return to;
#endif
}

template <int M, int NV> INLINE void register_block(const Factor* w, int factors, const Factors* in, V* out) {
    V sum[M][NV];
#pragma GCC unroll 16
    for (int m = 0; m < M; m++)
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++) sum[m][v] = out[m * NV + v];
    for (int k = 0; k < factors; k++) {
        Factors x[NV];
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++) x[v] = in[k * NV + v];
#pragma GCC unroll 16
        for (int m = 0; m < M; m++)
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++) sum[m][v] = plus_product(sum[m][v], w[k * M + m], x[v]);
    }
#pragma GCC unroll 16
    for (int m = 0; m < M; m++)
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++) out[m * NV + v] = sum[m][v];
}

template <int M, int NV> static void chosen_block(int rows, const Factor* w, int factors, const Factors* in, V* out) {
    if (rows == M) register_block<M, NV>(w, factors, in, out);
    else if constexpr (M > 1) chosen_block<M - 1, NV>(rows, w, factors, in, out);
}

// out[rows][NV] += weights in[columns][NV]
template <int NV> static void product(const Packed& weights, const V* in, V* out) {
    const Factor* w = weights.at;
    int factors = factors_of(weights.columns);
    const Factors* x = multiplied<NV>(in, weights.columns);
    for (int block = 0; block < blocks_of(weights.rows); block++) {
        int start = block_start(weights.rows, block), rows = block_start(weights.rows, block + 1) - start;
        chosen_block<ROWS, NV>(rows, w, factors, x, out + start * NV);
        w += rows * factors;
    }
}

// The left operand of sums over time and trials: panels of two vectors (the last may be one) of units, and within a
// panel trial (pair) by trial; from units of a tile, V from[units][NV] at each of `steps` steps.
struct Panels {
    Factors* at;
    int units, rows;  // rows: steps * NV * W / PAIR
    Factors* panel(int vector) const { return at + long(vector) * rows; }
};

INLINE int vectors_of(int units) { return (units + W - 1) / W; }

template <int NV> static Panels to_panels(const V* from, long step, int steps, int units, Factors* room) {
    Panels panels{room, units, steps * NV * W / PAIR};
    int vectors = vectors_of(units);
    for (int vector = 0; vector < vectors; vector++) {
        bool alone = vector == vectors - 1 && vector % 2 == 0;
        Factors* to = panels.panel(vector / 2 * 2) + (vector % 2);
        int stride = alone ? 1 : 2;
        for (int t = 0; t < steps; t++)
            for (int v = 0; v < NV; v++) {
                V x[W];
#pragma GCC unroll 16
                for (int i = 0; i < W; i++) {
                    int unit = vector * W + i;
                    x[i] = unit < units ? from[t * step + unit * NV + v] : V{};
                }
                transpose(x);
                int row = (t * NV + v) * W / PAIR;
#pragma GCC unroll 16
                for (int i = 0; i < W / PAIR; i++)
                    to[(row + i) * stride] = combined(x[PAIR * i], x[PAIR * i + PAIR - 1]);
            }
    }
    return panels;
}

// The right operand: scalars, or pairs of neighbouring trials; `step`: how many from one step to the next.
struct Scalars {
    const Factor* at;
    long step;
};

template <int NV> static Scalars to_scalars(const V* right, int columns, long step, int steps) {
#ifndef HPCFIT_BF16
    (void)columns, (void)steps;
    return {reinterpret_cast<const R*>(right), step * W};
#else
    long apart = long(columns) * NV * W / PAIR;
    Factor* to = operands<Factor, 1>(apart * steps);
    for (int t = 0; t < steps; t++) neighbours(right + t * step, columns * NV, to + t * apart);
    return {to, apart};
#endif
}

// sums[M][stride] += right[M] (outer) left, over steps and trials.
template <int M, int P, int NV>
INLINE void outer_block(const Factors* left, Scalars right, int steps, R* sums, long stride) {
    constexpr int rows = NV * W / PAIR;
    V sum[M][P];
#pragma GCC unroll 16
    for (int m = 0; m < M; m++)
#pragma GCC unroll 2
        for (int p = 0; p < P; p++) sum[m][p] = *reinterpret_cast<const Loose*>(sums + m * stride + p * W);
    for (int t = 0; t < steps; t++)
        for (int row = 0; row < rows; row++) {
            Factors x[P];
#pragma GCC unroll 2
            for (int p = 0; p < P; p++) x[p] = left[p];
            left += P;
#pragma GCC unroll 16
            for (int m = 0; m < M; m++)
#pragma GCC unroll 2
                for (int p = 0; p < P; p++)
                    sum[m][p] = plus_product(sum[m][p], right.at[t * right.step + m * rows + row], x[p]);
        }
#pragma GCC unroll 16
    for (int m = 0; m < M; m++)
#pragma GCC unroll 2
        for (int p = 0; p < P; p++) *reinterpret_cast<Loose*>(sums + m * stride + p * W) = sum[m][p];
}

template <int M, int P, int NV>
static void chosen_outer(int columns, const Factors* left, Scalars right, int steps, R* sums, long stride) {
    if (columns == M) outer_block<M, P, NV>(left, right, steps, sums, stride);
    else if constexpr (M > 1) chosen_outer<M - 1, P, NV>(columns, left, right, steps, sums, stride);
}

// sums[columns][stride] += sum over steps and trials of right[t][column] left[t][unit]: a gradient, transposed, its
// rows padded to whole vectors.  right: V right[columns][NV] at each step, `step` vectors apart.
template <int NV>
static void outer_sums(const Panels& left, const V* right, int columns, long step, int steps, R* sums, long stride) {
    int vectors = vectors_of(left.units);
    Scalars scalars = to_scalars<NV>(right, columns, step, steps);
    for (int vector = 0; vector < vectors; vector += 2)
        for (int block = 0; block < blocks_of(columns); block++) {
            int start = block_start(columns, block), count = block_start(columns, block + 1) - start;
            Scalars from{scalars.at + long(start) * NV * W / PAIR, scalars.step};
            R* to = sums + start * stride + vector * W;
            const Factors* panel = left.panel(vector);
            if (vector + 1 < vectors) chosen_outer<ROWS, 2, NV>(count, panel, from, steps, to, stride);
            else chosen_outer<ROWS, 1, NV>(count, panel, from, steps, to, stride);
        }
}
