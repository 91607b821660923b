// The joint loop of controller, sample, generator and factors over a tile of trials, forwards and backwards.
#pragma once
#include <algorithm>

#include "tiles.hpp"

struct DecoderCall {
    long steps, trials, factors, inputs, told, threads;  // inputs: those that are inferred; 0: no controller
    double clip, least_variance;
    GruWeights generator, controller;  // controller.inputs = told + factors
    R *to_factors, *to_inputs, *to_inputs_bias;  // (F, G), (2U, C), (2U)
    Array generator_start, controller_start, encoding, noise, factors_kept, states_kept;  // may be null where optional
    Array states, read, means, logs, samples;  // what is found
    R* kept;                                   // (tiles, steps, kept_units(), TILE)
    // The way back: gradients of what was found (null: zero), and what is found then.
    Array d_states, d_read, d_means, d_logs, d_samples;
    Array d_generator_start, d_controller_start, d_encoding;
    R* gradient;  // generator, controller, to_factors, to_inputs, to_inputs_bias, in this order

    long generator_units() const { return generator.units; }
    long controller_units() const { return inputs ? controller.units : 0; }
    long seen() const { return inputs ? told + factors : 0; }
    long kept_units() const { return 4 * (generator.units + controller_units()) + seen() + 3 * inputs; }
    long numbers() const {
        long c = controller_units();
        long grus = generator.numbers() + (inputs ? controller.numbers() : 0);
        return grus + factors * generator.units + 2 * inputs * (c + 1);
    }
};

// One step as it is kept.
template <int NV> struct DecoderKept {
    Kept<NV> generator, controller;
    V *seen, *posterior, *sample;  // into the controller; mean and logarithm of variance; the inferred input
    DecoderKept(V* at, const DecoderCall& call)
        : generator(at, int(call.generator.units)),
          controller(at + 4 * call.generator.units * NV, int(call.controller_units())),
          seen(controller.state + call.controller_units() * NV), posterior(seen + call.seen() * NV),
          sample(posterior + 2 * call.inputs * NV) {}
};

struct PackedDecoder {
    PackedGru generator, controller;
    Packed to_factors, to_inputs, to_factors_back, to_inputs_back;
    PackedDecoder(const DecoderCall& call, Room& room, bool backward) : generator(call.generator, room, backward) {
        int units = int(call.generator.units), factors = int(call.factors), both = 2 * int(call.inputs);
        auto packed = [&](const R* at, int rows, int columns, bool transposed) {
            return pack(at, rows, columns, transposed, room.take<Factor>(long(rows) * factors_of(columns)));
        };
        to_factors = packed(call.to_factors, factors, units, false);
        if (backward) to_factors_back = packed(call.to_factors, units, factors, true);
        if (!call.inputs) return;
        controller = PackedGru(call.controller, room, backward);
        int c = int(call.controller.units);
        if (!backward) to_inputs = packed(call.to_inputs, both, c, false);
        else to_inputs_back = packed(call.to_inputs, c, both, true);
    }
};

template <int NV> INLINE void nothing(V* at, long units) { memset(at, 0, sizeof(V) * units * NV); }

template <int NV>
INLINE void masked(const Array& mask, const Tile& tile, int t, int units, const V* from, V* to, V* scratch) {
    if (!mask.at) {
        if (to != from) memcpy(to, from, sizeof(V) * units * NV);
        return;
    }
    gather<NV>(mask, t, tile.first, tile.trials, units, scratch);
    for (int i = 0; i < units * NV; i++) to[i] = from[i] * scratch[i];
}

template <int NV>
static void infer_input(const DecoderCall& call, const PackedDecoder& w, const Tile& tile, int t, DecoderKept<NV> kept,
                        V* noise) {
    int n = int(call.inputs) * NV;
    from_bias<NV>(call.to_inputs_bias, 2 * int(call.inputs), kept.posterior);
    product<NV>(w.to_inputs, kept.controller.state, kept.posterior);
    if (call.noise.at) gather<NV>(call.noise, t, tile.first, tile.trials, int(call.inputs), noise);
    for (int i = 0; i < n; i++) {
        kept.sample[i] = kept.posterior[i];
        if (call.noise.at)
            kept.sample[i] += square_root(exponential(kept.posterior[n + i]) + all(R(call.least_variance))) * noise[i];
    }
    scatter<NV>(kept.posterior, call.means, t, tile.first, tile.trials, int(call.inputs));
    scatter<NV>(kept.posterior + n, call.logs, t, tile.first, tile.trials, int(call.inputs));
    scatter<NV>(kept.sample, call.samples, t, tile.first, tile.trials, int(call.inputs));
}

template <int NV>
static void decoder_forward(const DecoderCall& call, const PackedDecoder& w, const Tile& tile, Room room) {
    int units = int(call.generator.units), c = int(call.controller_units()), f = int(call.factors);
    int told = int(call.told), u = int(call.inputs);
    V* kept = reinterpret_cast<V*>(call.kept) + tile.number * call.steps * call.kept_units() * 2;
    int widest = units > c ? units : c;
    auto take = [&](int number) { return room.take<V>(number * NV); };
    V *drive = take(3 * widest), *start = take(units), *controller_start = take(c), *factors = take(f);
    V *seen = take(units), *scratch = take(units + f + told + u);
    gather<NV>(call.generator_start, 0, tile.first, tile.trials, units, start);
    if (c) gather<NV>(call.controller_start, 0, tile.first, tile.trials, c, controller_start);
    nothing<NV>(factors, f);
    if (c) product<NV>(w.to_factors, start, factors);
    const V *state = start, *controller = controller_start;
    for (int t = 0; t < call.steps; t++) {
        DecoderKept<NV> step(kept + long(t) * call.kept_units() * NV, call);
        if (c) {
            gather<NV>(call.encoding, t, tile.first, tile.trials, told, step.seen);
            masked<NV>(call.factors_kept, tile, t, f, factors, step.seen + told * NV, scratch);
            from_bias<NV>(w.controller.bias, 3 * c, drive);
            product<NV>(w.controller.input, step.seen, drive);
            gru_forward<NV>(w.controller, drive, controller, step.controller, R(call.clip));
            controller = step.controller.state;
            infer_input<NV>(call, w, tile, t, step, scratch);
        }
        from_bias<NV>(w.generator.bias, 3 * units, drive);
        if (c) product<NV>(w.generator.input, step.sample, drive);
        gru_forward<NV>(w.generator, drive, state, step.generator, R(call.clip));
        state = step.generator.state;
        masked<NV>(call.states_kept, tile, t, units, state, seen, scratch);
        nothing<NV>(factors, f);
        product<NV>(w.to_factors, seen, factors);
        scatter<NV>(state, call.states, t, tile.first, tile.trials, units);
        scatter<NV>(factors, call.read, t, tile.first, tile.trials, f);
    }
}

// What a tile needs on its way back.  [CHUNK]: of the steps whose gradients are summed together.
template <int NV> struct DecoderRoom {
    V *d_state, *d_controller, *d_factors, *d_seen, *scratch, *start, *controller_start;  // one step
    V *d_generator_bias, *d_controller_bias, *d_inputs_bias;
    V *g_drive, *g_before, *g_reset, *sample, *states, *factors;  // [CHUNK]
    V *c_drive, *c_before, *c_reset, *seen, *posterior, *c_state;
    Factors* panels;
    DecoderRoom(const DecoderCall& call, Room room) {
        long g = call.generator.units, c = call.controller_units(), f = call.factors, u = call.inputs, s = call.seen();
        auto take = [&](long units) { return room.take<V>(units * NV); };
        d_state = take(g), d_controller = take(c), d_factors = take(f), d_seen = take(s);
        scratch = take(g + c + f + s + u), start = take(g), controller_start = take(c);
        d_generator_bias = take(3 * g), d_controller_bias = take(3 * c), d_inputs_bias = take(2 * u);
        g_drive = take(CHUNK * 3 * g), g_before = take(CHUNK * g), g_reset = take(CHUNK * g), sample = take(CHUNK * u);
        states = take(CHUNK * g), factors = take(CHUNK * f);
        c_drive = take(CHUNK * 3 * c), c_before = take(CHUNK * c), c_reset = take(CHUNK * c), seen = take(CHUNK * s);
        posterior = take(CHUNK * 2 * u), c_state = take(CHUNK * c);
        panels = room.take<Factors>(panels_room(std::max({g, c, f, u})));
        for (auto [at, units] : {std::pair<V*, long>{d_state, g}, {d_controller, c}, {d_factors, f},
                                 {d_generator_bias, 3 * g}, {d_controller_bias, 3 * c}, {d_inputs_bias, 2 * u}})
            nothing<NV>(at, units);
    }
};

template <int NV> INLINE void add_given(const Array& given, const Tile& tile, int t, int units, V* to, V* scratch) {
    if (!given.at) return;
    gather<NV>(given, t, tile.first, tile.trials, units, scratch);
    for (int i = 0; i < units * NV; i++) to[i] += scratch[i];
}

// Gradient through the sample and the controller of step t; its gradient of the factors before goes to d_factors.
template <int NV>
static void controller_backward(const DecoderCall& call, const PackedDecoder& w, const Tile& tile, int t, int held,
                                DecoderKept<NV> step, const V* before, DecoderRoom<NV>& at) {
    int c = int(call.controller.units), u = int(call.inputs), f = int(call.factors), told = int(call.told);
    int s = told + f;
    V *drive = at.c_drive + held * 3 * c * NV, *posterior = at.posterior + held * 2 * u * NV;
    nothing<NV>(posterior, 2 * u);
    product<NV>(w.generator.input_back, at.g_drive + held * 3 * call.generator.units * NV, posterior);
    add_given<NV>(call.d_samples, tile, t, u, posterior, at.scratch);
    if (call.noise.at) {
        gather<NV>(call.noise, t, tile.first, tile.trials, u, at.scratch);
        for (int i = 0; i < u * NV; i++) {
            V variance = exponential(step.posterior[u * NV + i]);
            V sd = square_root(variance + all(R(call.least_variance)));
            posterior[u * NV + i] = posterior[i] * at.scratch[i] * variance / (sd + sd);
        }
    }
    add_given<NV>(call.d_means, tile, t, u, posterior, at.scratch);
    add_given<NV>(call.d_logs, tile, t, u, posterior + u * NV, at.scratch);
    for (int i = 0; i < 2 * u * NV; i++) at.d_inputs_bias[i] += posterior[i];
    product<NV>(w.to_inputs_back, posterior, at.d_controller);
    V* state = at.c_before + held * c * NV;
    memcpy(state, before, sizeof(V) * c * NV);
    memcpy(at.c_state + held * c * NV, step.controller.state, sizeof(V) * c * NV);
    memcpy(at.seen + held * s * NV, step.seen, sizeof(V) * s * NV);
    V* reset_state = at.c_reset + held * c * NV;
    R clip = R(call.clip);
    gru_backward<NV>(w.controller, state, step.controller, clip, at.d_controller, drive, reset_state, at.scratch);
    for (int i = 0; i < 3 * c * NV; i++) at.d_controller_bias[i] += drive[i];
    nothing<NV>(at.d_seen, s);
    product<NV>(w.controller.input_back, drive, at.d_seen);
    scatter<NV>(at.d_seen, call.d_encoding, t, tile.first, tile.trials, told);
    masked<NV>(call.factors_kept, tile, t, f, at.d_seen + told * NV, at.d_factors, at.scratch);
}

struct DecoderSums {
    GruSums generator;
    Sums to_factors;
    GruSums controller;
    Sums to_inputs;
    R *to_inputs_bias, *end;
    DecoderSums(const DecoderCall& call, R* at)
        : generator(call.generator, at), to_factors{generator.end, int(call.factors), int(call.generator.units)},
          controller(call.controller, to_factors.at + to_factors.numbers()),
          to_inputs{controller.end, 2 * int(call.inputs), int(call.controller.units)},
          to_inputs_bias(to_inputs.at + to_inputs.numbers()),
          end(to_inputs_bias + 2L * vectors_of(int(call.inputs)) * W) {}
    static long numbers(const DecoderCall& call) { return DecoderSums(call, nullptr).end - static_cast<R*>(nullptr); }
    void unpack(const DecoderCall& call) const {
        R* to = call.gradient;
        generator.unpack(call.generator.placed(to)), to += call.generator.numbers();
        if (call.inputs) controller.unpack(call.controller.placed(to)), to += call.controller.numbers();
        to_factors.unpack(to), to += call.factors * call.generator.units;
        if (!call.inputs) return;
        to_inputs.unpack(to), to += 2 * call.inputs * call.controller.units;
        memcpy(to, to_inputs_bias, sizeof(R) * 2 * call.inputs);
    }
};

template <int NV>
static void decoder_sums(const DecoderCall& call, int steps, const DecoderRoom<NV>& at, const DecoderSums& sums) {
    int g = int(call.generator.units), c = int(call.controller_units()), f = int(call.factors), u = int(call.inputs);
    gru_sums<NV>(sums.generator, g, u, steps, at.g_drive, at.g_before, at.g_reset, at.sample, at.panels);
    Panels factors = to_panels<NV>(at.factors, f * NV, steps, f, at.panels);
    outer_sums<NV>(factors, at.states, g, g * NV, steps, sums.to_factors.at, sums.to_factors.stride());
    if (!c) return;
    gru_sums<NV>(sums.controller, c, int(call.seen()), steps, at.c_drive, at.c_before, at.c_reset, at.seen, at.panels);
    Panels posterior = to_panels<NV>(at.posterior, 2 * u * NV, steps, 2 * u, at.panels);
    outer_sums<NV>(posterior, at.c_state, c, c * NV, steps, sums.to_inputs.at, sums.to_inputs.stride());
}

template <int NV>
static void decoder_backward(const DecoderCall& call, const PackedDecoder& w, const Tile& tile, Room room, R* its) {
    const DecoderSums sums(call, its);
    int g = int(call.generator.units), c = int(call.controller_units()), f = int(call.factors), u = int(call.inputs);
    V* kept = reinterpret_cast<V*>(call.kept) + tile.number * call.steps * call.kept_units() * 2;
    DecoderRoom<NV> at(call, room);
    gather<NV>(call.generator_start, 0, tile.first, tile.trials, g, at.start);
    if (c) gather<NV>(call.controller_start, 0, tile.first, tile.trials, c, at.controller_start);
    int held = 0;
    for (int t = int(call.steps) - 1; t >= 0; t--) {
        DecoderKept<NV> step(kept + long(t) * call.kept_units() * NV, call);
        DecoderKept<NV> earlier(kept + long(t ? t - 1 : 0) * call.kept_units() * NV, call);
        int n = held * g * NV;
        V *seen = at.states + n, *state = at.g_before + n, *drive = at.g_drive + 3 * n, *reset_state = at.g_reset + n;
        add_given<NV>(call.d_read, tile, t, f, at.d_factors, at.scratch);
        memcpy(at.factors + held * f * NV, at.d_factors, sizeof(V) * f * NV);
        masked<NV>(call.states_kept, tile, t, g, step.generator.state, seen, at.scratch);
        V* d_seen = reset_state;  // free until the GRU's way back fills it
        nothing<NV>(d_seen, g);
        product<NV>(w.to_factors_back, at.d_factors, d_seen);
        masked<NV>(call.states_kept, tile, t, g, d_seen, d_seen, at.scratch);
        for (int i = 0; i < g * NV; i++) at.d_state[i] += d_seen[i];
        add_given<NV>(call.d_states, tile, t, g, at.d_state, at.scratch);
        memcpy(state, t ? earlier.generator.state : at.start, sizeof(V) * g * NV);
        gru_backward<NV>(w.generator, state, step.generator, R(call.clip), at.d_state, drive, reset_state, at.scratch);
        for (int i = 0; i < 3 * g * NV; i++) at.d_generator_bias[i] += drive[i];
        nothing<NV>(at.d_factors, f);
        if (c) {
            memcpy(at.sample + held * u * NV, step.sample, sizeof(V) * u * NV);
            const V* before = t ? earlier.controller.state : at.controller_start;
            controller_backward<NV>(call, w, tile, t, held, step, before, at);
        }
        if (++held == CHUNK || t == 0) {
            decoder_sums<NV>(call, held, at, sums);
            held = 0;
        }
    }
    bias_sums<NV>(at.d_generator_bias, 3 * g, sums.generator.bias);
    if (c) {
        product<NV>(w.to_factors_back, at.d_factors, at.d_state);  // the factors before the first step
        Panels factors = to_panels<NV>(at.d_factors, f * NV, 1, f, at.panels);
        outer_sums<NV>(factors, at.start, g, g * NV, 1, sums.to_factors.at, sums.to_factors.stride());
        bias_sums<NV>(at.d_controller_bias, 3 * c, sums.controller.bias);
        bias_sums<NV>(at.d_inputs_bias, 2 * u, sums.to_inputs_bias);
        scatter<NV>(at.d_controller, call.d_controller_start, 0, tile.first, tile.trials, c);
    }
    scatter<NV>(at.d_state, call.d_generator_start, 0, tile.first, tile.trials, g);
}

static long decoder_room(const DecoderCall& call) {  // vectors that a tile needs, the greater of both ways
    long units = call.generator.units + call.controller_units() + call.factors + call.inputs + call.seen();
    return 2 * units * (7 * CHUNK + 16) + panels_room(units) + 256;
}

extern "C" long hpcfit_decoder_kept_units(const DecoderCall* call) { return call->kept_units(); }
extern "C" long hpcfit_decoder_numbers(const DecoderCall* call) { return call->numbers(); }

extern "C" void hpcfit_decoder_forward(const DecoderCall* call) {
    Memory memory(2 * call->numbers() * sizeof(R) + 16384);
    Room room = memory.room();
    PackedDecoder w(*call, room, false);
    auto one = [&](auto nv, const Tile& tile, Room mine, R*) {
        decoder_forward<decltype(nv)::value>(*call, w, tile, mine);
    };
    over_tiles(call->trials, call->threads, decoder_room(*call), 0, nullptr, one);
}

extern "C" void hpcfit_decoder_backward(const DecoderCall* call) {
    Memory memory(2 * call->numbers() * sizeof(R) + 16384);
    Room room = memory.room();
    PackedDecoder w(*call, room, true);
    long numbers = DecoderSums::numbers(*call);
    Memory total(numbers * sizeof(R));
    R* sums = reinterpret_cast<R*>(total.at);
    over_tiles(call->trials, call->threads, decoder_room(*call), numbers, sums,
               [&](auto nv, const Tile& tile, Room mine, R* its) {
                   decoder_backward<decltype(nv)::value>(*call, w, tile, mine, its);
               });
    DecoderSums(*call, sums).unpack(*call);
}
