// The one pass over all recorded samples: bounds of every tile, and whether all samples are finite.
//
// For processors: vectors of the compiler's own kind.  A device would give each tile to a few threads.
#pragma once
#include <cstring>

#include "grid.hpp"

namespace features {

template <class Sample>
struct Vector {
    static constexpr int LANES = 64 / sizeof(Sample);
    typedef Sample Type __attribute__((vector_size(64)));
    static Type load(const Sample* from) {
        Type loaded;
        std::memcpy(&loaded, from, sizeof loaded);
        return loaded;
    }
};

// The least of the lanes, by halves.
template <class Sample, int LANES>
Sample least(const Sample* lanes) {
    if constexpr (LANES == 1) {
        return lanes[0];
    } else {
        typedef Sample Half __attribute__((vector_size(LANES / 2 * sizeof(Sample))));
        Half a, b;
        std::memcpy(&a, lanes, sizeof a);
        std::memcpy(&b, lanes + LANES / 2, sizeof b);
        a = a < b ? a : b;
        return least<Sample, LANES / 2>(reinterpret_cast<const Sample*>(&a));
    }
}
template <class Sample>
Sample least_lane(typename Vector<Sample>::Type v) {
    Sample lanes[Vector<Sample>::LANES];
    std::memcpy(lanes, &v, sizeof v);
    return least<Sample, Vector<Sample>::LANES>(lanes);
}

template <class Sample>
bool summarise(const Plan& plan, const Sample* y, Scratch& scratch) {
    using V = Vector<Sample>;
    using Type = typename V::Type;
    const int steps = plan.raw_count - 1, tiles = (plan.raw_count + TILE - 1) / TILE;
    Type total = {};
    Sample rest = 0;  // a sum of changes is finite when all samples are
    for (int tile = 0; tile < tiles; ++tile) {
        const int begin = tile * TILE, end = begin + TILE < steps ? begin + TILE : steps;
        Sample low = y[end], high = low, fall = 0;
        if (end - begin == TILE) {
            Type lows = V::load(y + begin), highs = lows, falls = {};
            for (int r = begin; r < end; r += V::LANES) {
                const Type here = V::load(y + r), change = V::load(y + r + 1) - here;
                lows = here < lows ? here : lows;
                highs = here > highs ? here : highs;
                falls = change < falls ? change : falls;
                total += change;
            }
            const Sample l = least_lane<Sample>(lows), h = -least_lane<Sample>(-highs);
            low = l < low ? l : low;
            high = h > high ? h : high;
            fall = least_lane<Sample>(falls);
        } else {
            for (int r = begin; r < end; ++r) {
                const Sample change = y[r + 1] - y[r];
                low = y[r] < low ? y[r] : low;
                high = y[r] > high ? y[r] : high;
                fall = change < fall ? change : fall;
                rest += change;
            }
        }
        scratch.low[tile] = low;
        scratch.high[tile] = high;
        scratch.fall[tile] = fall;
    }
    for (int l = 0; l < V::LANES; ++l) rest += total[l];
    return std::isfinite(rest) && std::isfinite(y[0]) && std::isfinite(y[steps]);
}

// Begins a trace: nothing of it is interpolated yet.
inline bool open(const Plan& plan, const void* samples, bool single, Scratch& scratch) {
    for (int tile = 0; tile * TILE < plan.count; ++tile) scratch.filled[tile] = 0;
    return single ? summarise(plan, static_cast<const float*>(samples), scratch)
                  : summarise(plan, static_cast<const double*>(samples), scratch);
}

}  // namespace features
