// A GRU over time, forwards and backwards: tiles of trials, each from its first step to its last while it is in cache.
#pragma once
#include "tiles.hpp"

struct SequenceCall {
    long steps, trials, reverse, last_only, threads;
    double clip;
    GruWeights weights;
    Array x, start, states;  // start, and states where last_only: time is 0
    R* kept;                 // (tiles, steps, 4H, TILE)
    // The way back: gradients of states, and what is found; d_x.at may be null.
    Array d_states, d_start, d_x;
    GruWeights gradient;
};

template <int NV>
static void sequence_forward(const SequenceCall& call, const PackedGru& w, const Tile& tile, Room room) {
    int units = w.units, size = 4 * units * NV, steps = int(call.steps);
    V* kept = reinterpret_cast<V*>(call.kept) + tile.number * call.steps * 4 * units * 2;
    V *x = room.take<V>(w.inputs * NV), *drive = room.take<V>(3 * units * NV), *start = room.take<V>(units * NV);
    gather<NV>(call.start, 0, tile.first, tile.trials, units, start);
    const V* before = start;
    for (int i = 0; i < steps; i++) {
        int t = call.reverse ? steps - 1 - i : i;
        gather<NV>(call.x, t, tile.first, tile.trials, w.inputs, x);
        from_bias<NV>(w.bias, 3 * units, drive);
        product<NV>(w.input, x, drive);
        Kept<NV> step(kept + long(t) * size, units);
        gru_forward<NV>(w, drive, before, step, R(call.clip));
        before = step.state;
        if (!call.last_only) scatter<NV>(before, call.states, t, tile.first, tile.trials, units);
    }
    if (call.last_only) scatter<NV>(before, call.states, 0, tile.first, tile.trials, units);
}

template <int NV>
static void sequence_backward(const SequenceCall& call, const PackedGru& w, const Tile& tile, Room room, R* sums) {
    int units = w.units, size = 4 * units * NV, steps = int(call.steps), n = units * NV;
    const GruSums gradient(call.weights, sums);
    V* kept = reinterpret_cast<V*>(call.kept) + tile.number * call.steps * 4 * units * 2;
    V *d_state = room.take<V>(n), *start = room.take<V>(n), *scratch = room.take<V>(n);
    V* d_x = room.take<V>(w.inputs * NV);
    V *d_drive = room.take<V>(CHUNK * 3 * n), *reset_state = room.take<V>(CHUNK * n), *before = room.take<V>(CHUNK * n);
    V *x = room.take<V>(CHUNK * w.inputs * NV), *given = room.take<V>(n), *d_bias = room.take<V>(3 * n);
    Factors* panels = room.take<Factors>(panels_room(units));
    gather<NV>(call.start, 0, tile.first, tile.trials, units, start);
    memset(d_state, 0, sizeof(V) * n);
    memset(d_bias, 0, sizeof(V) * 3 * n);
    if (call.last_only) gather<NV>(call.d_states, 0, tile.first, tile.trials, units, d_state);
    int held = 0;
    for (int i = steps - 1; i >= 0; i--) {
        int t = call.reverse ? steps - 1 - i : i, earlier = call.reverse ? t + 1 : t - 1;
        if (!call.last_only) {
            gather<NV>(call.d_states, t, tile.first, tile.trials, units, given);
            for (int j = 0; j < n; j++) d_state[j] += given[j];
        }
        V *drive = d_drive + held * 3 * n, *state = before + held * n;
        memcpy(state, i == 0 ? start : Kept<NV>(kept + long(earlier) * size, units).state, sizeof(V) * n);
        gather<NV>(call.x, t, tile.first, tile.trials, w.inputs, x + held * w.inputs * NV);
        Kept<NV> step(kept + long(t) * size, units);
        gru_backward<NV>(w, state, step, R(call.clip), d_state, drive, reset_state + held * n, scratch);
        for (int j = 0; j < 3 * n; j++) d_bias[j] += drive[j];
        if (call.d_x.at) {
            memset(d_x, 0, sizeof(V) * w.inputs * NV);
            product<NV>(w.input_back, drive, d_x);
            scatter<NV>(d_x, call.d_x, t, tile.first, tile.trials, w.inputs);
        }
        if (++held == CHUNK || i == 0) {
            gru_sums<NV>(gradient, units, w.inputs, held, d_drive, before, reset_state, x, panels);
            held = 0;
        }
    }
    bias_sums<NV>(d_bias, 3 * units, gradient.bias);
    scatter<NV>(d_state, call.d_start, 0, tile.first, tile.trials, units);
}

static long sequence_room(const SequenceCall& call) {  // vectors that a tile needs, the greater of both ways
    long units = call.weights.units, inputs = call.weights.inputs;
    return 2 * (CHUNK * (5 * units + inputs) + 12 * units + 3 * inputs) + panels_room(units) + 64;
}

extern "C" void hpcfit_sequence_forward(const SequenceCall* call) {
    Memory memory(call->weights.numbers() * sizeof(R) + 4096);
    Room room = memory.room();
    PackedGru w(call->weights, room, false);
    auto one = [&](auto nv, const Tile& tile, Room mine, R*) {
        sequence_forward<decltype(nv)::value>(*call, w, tile, mine);
    };
    over_tiles(call->trials, call->threads, sequence_room(*call), 0, nullptr, one);
}

extern "C" void hpcfit_sequence_backward(const SequenceCall* call) {
    Memory memory(call->weights.numbers() * sizeof(R) + 4096);
    Room room = memory.room();
    PackedGru w(call->weights, room, true);
    long numbers = GruSums::numbers(call->weights);
    Memory total(numbers * sizeof(R));
    R* sums = reinterpret_cast<R*>(total.at);
    over_tiles(call->trials, call->threads, sequence_room(*call), numbers, sums,
               [&](auto nv, const Tile& tile, Room mine, R* its) {
                   sequence_backward<decltype(nv)::value>(*call, w, tile, mine, its);
               });
    GruSums(call->weights, sums).unpack(call->weights.placed(call->gradient.input));
}
