// Who computes which tile of trials, in which memory, and how their gradients are added: in the same order on any
// number of threads.
#pragma once
#include <cstdlib>
#include <new>
#include <type_traits>
#include <vector>

#include "gru.hpp"

constexpr int CHUNK = 8;    // steps whose gradients are summed together: what they need stays in cache
constexpr int GROUPS = 16;  // at most so many sums of gradients, each of consecutive tiles

struct Tile {
    long number;
    int first, trials;  // its first trial, and how many there are in all
};

// Memory that lives as long as this object; a thread keeps the largest it has had, since fresh pages are slow.
struct Memory {
    static thread_local std::vector<std::pair<char*, size_t>> spare;
    char* at = nullptr;
    size_t wanted, bytes = 0;
    explicit Memory(size_t wanted) : wanted(wanted) {
        for (size_t i = 0; i < spare.size(); i++)
            if (spare[i].second >= wanted) {
                at = spare[i].first, bytes = spare[i].second;
                spare.erase(spare.begin() + i);
                return;
            }
        bytes = (wanted + 4095) / 4096 * 4096;
        at = static_cast<char*>(aligned_alloc(4096, bytes));
        if (!at) throw std::bad_alloc();
    }
    ~Memory() {
        spare.push_back({at, bytes});
        if (spare.size() > 8) {
            free(spare.front().first);
            spare.erase(spare.begin());
        }
    }
    Memory(const Memory&) = delete;
    Room room() const { return {at, at + wanted}; }
};
thread_local std::vector<std::pair<char*, size_t>> Memory::spare;

// work(vectors per tile as a type, tile, memory, sums); total[numbers] = sum of the groups' sums, first to last.
template <typename Work>
static void over_tiles(long trials, long threads, long vectors, long numbers, R* total, Work work) {
    long tiles = (trials + TILE - 1) / TILE, groups = tiles < GROUPS ? tiles : GROUPS;
    long stride = (numbers + 63) / 64 * 64;
    Memory sums(size_t(groups) * stride * sizeof(R) + 64);
    R* sum = reinterpret_cast<R*>(sums.at);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1)
    for (long group = 0; group < groups; group++) {
        Memory mine(vectors * sizeof(V) + 64 * VECTOR_BYTES);
        R* its = sum + group * stride;
        if (numbers) memset(its, 0, numbers * sizeof(R));
        for (long number = tiles * group / groups; number < tiles * (group + 1) / groups; number++) {
            Tile tile{number, int(number * TILE), int(trials)};
            if (trials - tile.first > W) work(std::integral_constant<int, 2>(), tile, mine.room(), its);
            else work(std::integral_constant<int, 1>(), tile, mine.room(), its);
        }
    }
    for (long i = 0; i < numbers; i++) {
        R value = 0;
        for (long group = 0; group < groups; group++) value += sum[group * stride + i];
        total[i] = value;
    }
}

template <int NV> static void bias_sums(const V* d_bias, int units, R* gradient) {
    for (int n = 0; n < units; n++)
        for (int v = 0; v < NV; v++) gradient[n] += sum_of(d_bias[n * NV + v]);
}

// A gradient (rows, columns) as outer_sums leaves it: transposed, rows padded to whole vectors.
struct Sums {
    R* at;
    int rows, columns;
    long stride() const { return long(vectors_of(rows)) * W; }
    long numbers() const { return columns * stride(); }
    void unpack(R* to) const {
        for (int n = 0; n < rows; n++)
            for (int k = 0; k < columns; k++) to[long(n) * columns + k] = at[k * stride() + n];
    }
};

struct GruSums {
    Sums input_gates, input_candidate, gates, candidate;
    R *bias, *end;
    GruSums(const GruWeights& w, R* at) {
        int units = int(w.units), inputs = int(w.inputs);
        auto next = [&](int rows, int columns) {
            Sums one{at, rows, columns};
            at += one.numbers();
            return one;
        };
        input_gates = next(2 * units, inputs), input_candidate = next(units, inputs);
        gates = next(2 * units, units), candidate = next(units, units);
        bias = at, end = at + 3L * vectors_of(units) * W;
    }
    static long numbers(const GruWeights& w) { return GruSums(w, nullptr).end - static_cast<R*>(nullptr); }
    void unpack(const GruWeights& to) const {
        input_gates.unpack(to.input), input_candidate.unpack(to.input + 2 * to.units * to.inputs);
        gates.unpack(to.gates), candidate.unpack(to.candidate);
        memcpy(to.bias, bias, sizeof(R) * 3 * to.units);
    }
};

// What `steps` steps add to the gradients of a GRU's weights; its bias apart.  room: for both panels.
template <int NV>
static void gru_sums(const GruSums& to, int units, int inputs, int steps, const V* d_drive, const V* before,
                     const V* reset_state, const V* x, Factors* room) {
    int n = units * NV;
    Panels gates = to_panels<NV>(d_drive, 3 * n, steps, 2 * units, room);
    Panels candidate = to_panels<NV>(d_drive + 2 * n, 3 * n, steps, units, gates.panel(vectors_of(2 * units)));
    outer_sums<NV>(gates, before, units, n, steps, to.gates.at, to.gates.stride());
    outer_sums<NV>(candidate, reset_state, units, n, steps, to.candidate.at, to.candidate.stride());
    outer_sums<NV>(gates, x, inputs, inputs * NV, steps, to.input_gates.at, to.input_gates.stride());
    outer_sums<NV>(candidate, x, inputs, inputs * NV, steps, to.input_candidate.at, to.input_candidate.stride());
}

INLINE long panels_room(long units) { return CHUNK * 2 * W * (vectors_of(2 * int(units)) + vectors_of(int(units))); }
