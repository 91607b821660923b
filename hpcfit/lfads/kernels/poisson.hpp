// Read-out of rates, negative log likelihood of counts and its gradient in one pass over a tile of trials, with masks
// of what counts and what is learned from; nothing of the size (time, trials, neurons) is written.
#pragma once
#include <cmath>

#include "tiles.hpp"

struct PoissonCall {
    long steps, trials, neurons, factors, threads;
    R *weight, *bias;                                  // (neurons, factors), (neurons)
    Array read, target, counted, learned, held_out;    // factors; masks may be null: all, and none held out
    Array d_read;                                      // gradient of the sum of what counts
    R *gradient, *sums;                                // of weight, then bias; (counted, held out)
};

static double log_factorial(R x) {
    struct Table {
        double of[256];
        Table() {
            for (int i = 0; i < 256; i++) of[i] = std::lgamma(i + 1.0);
        }
    };
    static const Table table;
    return x >= 0 && x < 256 && x == R(int(x)) ? table.of[int(x)] : std::lgamma(double(x) + 1.0);
}

INLINE double precise_sum(V x) {
    double total = 0;
    for (int lane = 0; lane < W; lane++) total += x[lane];
    return total;
}

template <int NV> struct PoissonStep {  // one step of a tile; V [neurons][NV]
    V *x, *counted, *learned, *held_out;
    double all = 0, missed = 0;

    // d_raw of raw; adds to the two sums.
    void values(const V* raw, long neurons, V* d_raw) {
        V sum = {}, sum_missed = {};
        for (long i = 0; i < neurons * NV; i++) {
            V rate = exponential(raw[i]), value = rate - x[i] * raw[i];
            sum += value * counted[i];
            if (held_out) sum_missed += value * held_out[i];
            d_raw[i] = (rate - x[i]) * learned[i];
            if (is_any(x[i] > ::all(R(1)))) factorials(i);  // 0! = 1! = 1
        }
        all += precise_sum(sum), missed += precise_sum(sum_missed);
    }

    static bool is_any(I test) {
        Number::I any = 0;
        for (int lane = 0; lane < W; lane++) any |= test[lane];
        return any;
    }

    void factorials(long i) {
        for (int lane = 0; lane < W; lane++)
            if (x[i][lane] > 1) {
                double log = log_factorial(x[i][lane]);
                all += log * counted[i][lane];
                if (held_out) missed += log * held_out[i][lane];
            }
    }
};

struct PackedReadOut {
    Packed weight, back;
};

template <int NV>
static void poisson_tile(const PoissonCall& call, const PackedReadOut& w, const Tile& tile, Room room, R* its,
                         double* sums) {
    int neurons = int(call.neurons), factors = int(call.factors), n = neurons * NV;
    auto take = [&](const Array& from) { return from.at ? room.take<V>(n) : nullptr; };
    V *raw = room.take<V>(n), *inside = room.take<V>(n), *d_raw = room.take<V>(CHUNK * n), *d_bias = room.take<V>(n);
    V *read = room.take<V>(CHUNK * factors * NV), *d_read = room.take<V>(factors * NV);
    Factors* panels = room.take<Factors>(CHUNK * 2 * W * vectors_of(neurons));
    PoissonStep<NV> step{room.take<V>(n), take(call.counted), take(call.learned), take(call.held_out)};
    const Sums gradient{its, neurons, factors};
    for (int i = 0; i < n; i++)
        for (int lane = 0; lane < W; lane++) inside[i][lane] = tile.first + i % NV * W + lane < tile.trials;
    if (!call.counted.at) step.counted = inside;
    if (!call.learned.at) step.learned = step.counted;
    memset(d_bias, 0, sizeof(V) * n);
    int held = 0;
    for (int t = 0; t < call.steps; t++) {
        auto get = [&](const Array& from, int units, V* to) {
            if (from.at) gather<NV>(from, t, tile.first, tile.trials, units, to);
        };
        V *f = read + held * factors * NV, *d = d_raw + held * n;
        get(call.read, factors, f), get(call.target, neurons, step.x), get(call.counted, neurons, step.counted);
        get(call.learned, neurons, step.learned), get(call.held_out, neurons, step.held_out);
        from_bias<NV>(call.bias, neurons, raw);
        product<NV>(w.weight, f, raw);
        step.values(raw, neurons, d);
        for (int i = 0; i < n; i++) d_bias[i] += d[i];
        memset(d_read, 0, sizeof(V) * factors * NV);
        product<NV>(w.back, d, d_read);
        scatter<NV>(d_read, call.d_read, t, tile.first, tile.trials, factors);
        if (++held == CHUNK || t == call.steps - 1) {
            Panels left = to_panels<NV>(d_raw, n, held, neurons, panels);
            outer_sums<NV>(left, read, factors, factors * NV, held, gradient.at, gradient.stride());
            held = 0;
        }
    }
    bias_sums<NV>(d_bias, neurons, its + gradient.numbers());
    sums[0] = step.all, sums[1] = step.missed;
}

extern "C" void hpcfit_poisson(const PoissonCall* call) {
    int neurons = int(call->neurons), factors = int(call->factors);
    Memory memory(2 * (neurons + 2L) * (factors + 2L) * sizeof(R) + 4096);
    Room room = memory.room();
    auto packed = [&](int rows, int columns, bool transposed) {
        return pack(call->weight, rows, columns, transposed, room.take<Factor>(long(rows) * factors_of(columns)));
    };
    PackedReadOut w{packed(neurons, factors, false), packed(factors, neurons, true)};
    long vectors = 2 * (neurons * (CHUNK + 8L) + factors * (CHUNK + 2L)) + CHUNK * 2 * W * vectors_of(neurons) + 128;
    long numbers = Sums{nullptr, neurons, factors}.numbers() + neurons, tiles = (call->trials + TILE - 1) / TILE;
    Memory total(numbers * sizeof(R)), of_tiles(tiles * 2 * sizeof(double));
    R* sums = reinterpret_cast<R*>(total.at);
    double *of_tile = reinterpret_cast<double*>(of_tiles.at), counted = 0, held_out = 0;
    over_tiles(call->trials, call->threads, vectors, numbers, sums, [&](auto nv, const Tile& tile, Room mine, R* its) {
        poisson_tile<decltype(nv)::value>(*call, w, tile, mine, its, of_tile + 2 * tile.number);
    });
    for (long tile = 0; tile < tiles; tile++) counted += of_tile[2 * tile], held_out += of_tile[2 * tile + 1];
    call->sums[0] = R(counted), call->sums[1] = R(held_out);
    const Sums gradient{sums, neurons, factors};
    gradient.unpack(call->gradient);
    memcpy(call->gradient + long(neurons) * factors, sums + gradient.numbers(), sizeof(R) * neurons);
}
