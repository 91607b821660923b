// One step of a GRU over a tile of trials, forwards and backwards (recurrence.py says the equations), and how a tile's
// numbers come from and go to arrays (time, trial, unit).
#pragma once
#include <cstdlib>

#include "products.hpp"

struct Array {  // (time, trial, unit), units next to each other; at == nullptr: there is none
    R* at;
    long time, trial;
    R* row(int t, int b) const { return at + t * time + b * trial; }
};

struct GruWeights {  // input (3H, inputs), bias (3H), gates (2H, H), candidate (H, H), all contiguous
    R *input, *bias, *gates, *candidate;
    long inputs, units;
    long numbers() const { return units * (3 * inputs + 3 + 3 * units); }
    // The same, in a stretch of memory of `numbers()`.
    GruWeights placed(R* room) const {
        GruWeights to = *this;
        to.input = room, to.bias = to.input + 3 * units * inputs, to.gates = to.bias + 3 * units;
        to.candidate = to.gates + 2 * units * units;
        return to;
    }
};

// Memory handed out piece by piece, aligned for vectors.
struct Room {
    char *at, *end;
    template <typename T> T* take(long count) {
        T* here = reinterpret_cast<T*>(at);
        at += (count * long(sizeof(T)) + VECTOR_BYTES - 1) / VECTOR_BYTES * VECTOR_BYTES;
        if (at > end) abort();  // a defect of ours: who asked for the memory counted wrong
        return here;
    }
};

struct PackedGru {
    Packed input, gates, candidate, input_back, gates_back, candidate_back;
    const R* bias;
    int inputs, units;
    PackedGru() = default;
    PackedGru(const GruWeights& w, Room& room, bool backward) {
        inputs = int(w.inputs), units = int(w.units), bias = w.bias;
        auto packed = [&](const R* at, int rows, int columns, bool transposed) {
            return pack(at, rows, columns, transposed, room.take<Factor>(long(rows) * factors_of(columns)));
        };
        if (!backward) {
            input = packed(w.input, 3 * units, inputs, false);
            gates = packed(w.gates, 2 * units, units, false);
            candidate = packed(w.candidate, units, units, false);
        } else {
            input_back = packed(w.input, inputs, 3 * units, true);
            gates_back = packed(w.gates, units, 2 * units, true);
            candidate_back = packed(w.candidate, units, units, true);
        }
    }
};

template <int NV> INLINE void from_bias(const R* bias, int units, V* out) {
    for (int n = 0; n < units; n++)
        for (int v = 0; v < NV; v++) out[n * NV + v] = all(bias[n]);
}

// What is kept of a step for the way back: update, reset, candidate, and the state, H units each.
template <int NV> struct Kept {
    V *update, *reset, *candidate, *state;
    Kept(V* at, int units)
        : update(at), reset(at + units * NV), candidate(reset + units * NV), state(candidate + units * NV) {}
};

// drive[3H][NV]: bias and projected input, overwritten.
template <int NV>
static void gru_forward(const PackedGru& w, V* drive, const V* before, Kept<NV> kept, R clip) {
    int gates = 2 * w.units * NV, units = w.units * NV;
    product<NV>(w.gates, before, drive);
    for (int i = 0; i < gates; i++) kept.update[i] = sigmoid(drive[i]);  // reset lies behind update
    for (int i = 0; i < units; i++) drive[i] = kept.reset[i] * before[i];
    product<NV>(w.candidate, drive, drive + gates);
    for (int i = 0; i < units; i++) {
        V candidate = hyperbolic_tangent(drive[gates + i]);
        kept.candidate[i] = candidate;
        kept.state[i] = bounded(candidate + kept.update[i] * (before[i] - candidate), clip);
    }
}

// d_state: gradient of the state after the step; becomes that of the state before.  Gives d_drive[3H][NV], and
// reset_state[H][NV], what the candidate's weights saw.
template <int NV>
static void gru_backward(const PackedGru& w, const V* before, Kept<NV> kept, R clip, V* d_state, V* d_drive,
                         V* reset_state, V* scratch) {
    int units = w.units * NV;
    V *d_update = d_drive, *d_reset = d_drive + units, *d_candidate = d_reset + units, one = all(R(1));
    for (int i = 0; i < units; i++) {
        V candidate = kept.candidate[i], update = kept.update[i], apart = before[i] - candidate;
        V free = candidate + update * apart, zero = {};
        V d = ((free < all(-clip)) | (free > all(clip))) ? zero : d_state[i];
        d_candidate[i] = d * (one - update) * (one - candidate * candidate);
        d_update[i] = d * apart * update * (one - update);
        d_state[i] = d * update;
        reset_state[i] = kept.reset[i] * before[i];
        scratch[i] = zero;
    }
    product<NV>(w.candidate_back, d_candidate, scratch);
    for (int i = 0; i < units; i++) {
        V reset = kept.reset[i];
        d_reset[i] = scratch[i] * before[i] * reset * (one - reset);
        d_state[i] += scratch[i] * reset;
    }
    product<NV>(w.gates_back, d_drive, d_state);
}

// tile[units][NV] from a row of an array at time t; trials beyond the last are zero.
template <int NV> static void gather(const Array& from, int t, int first, int trials, int units, V* tile) {
    for (int v = 0; v < NV; v++)
        for (int unit = 0; unit < units; unit += W) {
            int count = units - unit < W ? units - unit : W;
            V x[W];
            for (int lane = 0; lane < W; lane++) {
                int trial = first + v * W + lane;
                x[lane] = V{};
                if (trial >= trials) continue;
                const R* row = from.row(t, trial) + unit;
                if (count == W) x[lane] = *reinterpret_cast<const Loose*>(row);
                else memcpy(&x[lane], row, count * sizeof(R));
            }
            transpose(x);
            for (int i = 0; i < count; i++) tile[(unit + i) * NV + v] = x[i];
        }
}

template <int NV>
static void scatter(const V* tile, const Array& to, int t, int first, int trials, int units) {
    for (int v = 0; v < NV; v++)
        for (int unit = 0; unit < units; unit += W) {
            int count = units - unit < W ? units - unit : W;
            V x[W];
            for (int i = 0; i < W; i++) x[i] = i < count ? tile[(unit + i) * NV + v] : V{};
            transpose(x);
            for (int lane = 0; lane < W && first + v * W + lane < trials; lane++) {
                R* row = to.row(t, first + v * W + lane) + unit;
                if (count == W) *reinterpret_cast<Loose*>(row) = x[lane];
                else memcpy(row, &x[lane], count * sizeof(R));
            }
        }
}
