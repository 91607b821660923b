// The one pass over all recorded samples: bounds of every tile, and whether all samples are finite.
#pragma once
#include "grid.hpp"

namespace features {

template <class Sample> SELDOM bool every_sample_is_finite(const Sample* y, int count) {
    for (int i = 0; i < count; ++i)
        if (!std::isfinite(y[i])) return false;
    return true;
}

// low_of, high_of: of the tiles and of one more at either end.
template <class Sample> DEVICE bool summarise(const Sample* y, int count, double* low_of, double* high_of) {
    typedef typename PackOf<Sample>::Type Samples;
    constexpr int STEP = sizeof(Samples) / sizeof(Sample), LINE = 64 / sizeof(Sample), AHEAD = 4096 / sizeof(Sample);
    const int last = count - 1, tiles = (count + TILE - 1) / TILE, full = last / TILE;
    Samples total = {};  // not finite when a sample is not
    for (int tile = 0; tile < full; ++tile) {
        const Sample* from = y + tile * TILE;
        for (int r = 0; r < TILE; r += LINE) prefetch<3>(from + AHEAD + r);
        Samples low = load(from), high = low;
        total += low;
        for (int r = STEP; r < TILE; r += STEP) {
            const Samples here = load(from + r);
            low = least(here, low), high = most(here, high);
            total += here;
        }
        const Sample l = least_lane(low), h = most_lane(high), next = from[TILE];
        low_of[tile] = next < l ? next : l;
        high_of[tile] = next > h ? next : h;
    }
    Sample lanes[STEP];
    std::memcpy(lanes, &total, sizeof lanes);
    Sample rest = y[last];
    for (int lane = 0; lane < STEP; ++lane) rest += lanes[lane];
    for (int tile = full; tile < tiles; ++tile) {
        Sample low = y[last], high = low;
        for (int r = tile * TILE; r < last; ++r) low = least(y[r], low), high = most(y[r], high), rest += y[r];
        low_of[tile] = low;
        high_of[tile] = high;
    }
    // Neighbours that the first and the last tile do not have.
    low_of[-1] = high_of[-1] = low_of[tiles] = high_of[tiles] = 0;
    // A sum may also be too great: then every sample is asked.
    return std::isfinite(rest) || every_sample_is_finite(y, count);
}

// Begins a trace: nothing of it is interpolated yet.
DEVICE inline bool open(const Plan& plan, const void* samples, bool single, Scratch& scratch) {
    std::memset(scratch.filled, 0, plan.count / FILL + 1);
    const int count = plan.raw_count;
    return single ? summarise(static_cast<const float*>(samples), count, scratch.low, scratch.high)
                  : summarise(static_cast<const double*>(samples), count, scratch.low, scratch.high);
}

}  // namespace features
