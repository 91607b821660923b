// Random numbers by identity: Philox 4x32-10 (Salmon et al. 2011) keyed by a stream, counted by array, trial, element.
// lfads/numbers.py is the readable twin.
#pragma once
#include <cmath>

#include "lanes.hpp"

struct DrawCall {
    uint64_t key;
    uint32_t array, first;  // which array of the stream; its first trial
    long trials, numbers, threads;  // numbers of a trial; to: (trials, numbers)
    double rate;
    R* to;
};

constexpr int COUNTERS = 16;  // that lie side by side; a definition, not the width of a vector
typedef uint32_t Words __attribute__((vector_size(4 * COUNTERS)));
typedef R Numbers __attribute__((vector_size(sizeof(R) * COUNTERS)));
typedef R LooseNumbers __attribute__((vector_size(sizeof(R) * COUNTERS), aligned(sizeof(R)), may_alias));
typedef uint64_t Wide __attribute__((vector_size(8 * COUNTERS)));

INLINE void multiplied(Words x, uint32_t by, Words& high, Words& low) {
    Wide product = __builtin_convertvector(x, Wide) * by;
    high = __builtin_convertvector(product >> 32, Words), low = x * by;
}

// Words of COUNTERS counters (16 block + lane, 0, array, trial).
INLINE void philox(const DrawCall& call, uint32_t trial, uint32_t block, Words word[4]) {
    uint32_t low = uint32_t(call.key), high = uint32_t(call.key >> 32);
    Words zero = {}, lane;
    for (int i = 0; i < COUNTERS; i++) lane[i] = i;
    word[0] = lane + block * COUNTERS, word[1] = zero, word[2] = zero + call.array, word[3] = zero + trial;
    for (int round = 0; round < 10; round++) {
        Words high0, low0, high1, low1;
        multiplied(word[0], 0xD2511F53u, high0, low0);
        multiplied(word[2], 0xCD9E8D57u, high1, low1);
        word[0] = high1 ^ word[1] ^ low, word[1] = low1, word[2] = high0 ^ word[3] ^ high, word[3] = low0;
        low += 0x9E3779B9u, high += 0xBB67AE85u;
    }
}

// fill(words of a block, room for its numbers): numbers of a trial, `count` to a block.
template <typename Fill> static void over_blocks(const DrawCall& call, int count, Fill fill) {
#pragma omp parallel for num_threads(call.threads) if (call.threads > 1)
    for (long trial = 0; trial < call.trials; trial++) {
        R* to = call.to + trial * call.numbers;
        for (long block = 0; block * count < call.numbers; block++) {
            Words word[4];
            philox(call, call.first + uint32_t(trial), uint32_t(block), word);
            R numbers[8 * COUNTERS];
            bool whole = (block + 1) * count <= call.numbers;
            fill(word, whole ? to + block * count : numbers);
            if (!whole) memcpy(to + block * count, numbers, (call.numbers - block * count) * sizeof(R));
        }
    }
}

// 0 where a 16-bit word is below rate * 65536, else 1 / (1 - rate).
extern "C" void hpcfit_draw_kept(const DrawCall* call) {
    uint32_t below = uint32_t(std::nearbyint(call->rate * 65536.0));
    R one = R(1.0 / (1.0 - call->rate));
    over_blocks(*call, 8 * COUNTERS, [&](const Words* word, R* to) {
        for (int i = 0; i < 8; i++) {
            Words half = i % 2 ? word[i / 2] >> 16 : word[i / 2] & 0xffffu;
            Numbers minus = __builtin_convertvector(half >= below, Numbers);  // -1 where it stays
            *reinterpret_cast<LooseNumbers*>(to + i * COUNTERS) = Numbers{} - minus * one;
        }
    });
}

// Standard normal (Box and Muller 1958): 24 bits for the radius and 24 for the angle.
extern "C" void hpcfit_draw_normal(const DrawCall* call) {
    over_blocks(*call, 4 * COUNTERS, [&](const Words* word, R* to) {
        for (int pair = 0; pair < 2; pair++)
            for (int lane = 0; lane < COUNTERS; lane++) {
                R first = (R(word[2 * pair][lane] >> 8) + R(0.5)) * R(0x1p-24);
                R radius = std::sqrt(R(-2) * std::log(first));
                R angle = R(word[2 * pair + 1][lane] >> 8) * R(0x1p-24) * R(6.283185307179586);
                to[2 * pair * COUNTERS + lane] = radius * std::cos(angle);
                to[(2 * pair + 1) * COUNTERS + lane] = radius * std::sin(angle);
            }
    });
}
