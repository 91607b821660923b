// How is one trace read on the grid of its interpolated samples, touching as little of it as possible?
//
// Features are defined on the trace interpolated to a step of 0.1 ms.  One pass over the recorded samples notes, for
// every tile of 64, the least and greatest voltage and the steepest fall; searches skip the tiles that these bounds rule
// out, and only the rest is interpolated, exactly: (y1 - y0) / dx first, then times the offset, without contraction,
// because ties between neighbouring samples decide where a minimum lies.
#pragma once
#include <cmath>
#include <cstdint>

namespace features {

constexpr int TILE = 64;

// Minus these is what a feature without value returns.  The order is hpcfit.biophys.extract.table.Reason's.
enum Reason : int {
    NOT_FINITE = 1,     // the trace holds a NaN or an infinity
    NO_SPIKE = 2,       // the voltage does not rise and fall through the threshold
    TOO_FEW = 3,        // fewer spikes, or events derived from them, than the feature needs
    OUTSIDE = 4,        // the samples it needs lie outside the trace, or the stretch they are in is empty
    NOT_FOUND = 5,      // what the feature looks for is not there
    BEYOND = 6,         // the definition would read beyond the end of the trace, or of a list paired by rank
    NO_STIMULUS = 7,    // needs the stimulus' amplitude, which was not given
    EMPTY = 8,          // defined, and there is nothing in it
    NOT_A_NUMBER = 9,   // defined, but its mean is no finite number
};

// A stretch of the grid, and how its mean follows from recorded samples: sum of weight * sample.
struct Stretch {
    int begin, end;          // grid samples
    int raw_begin, raw_end;  // recorded samples
    const double* weight;    // raw_end - raw_begin of them
};

// What all traces of a batch share.
struct Plan {
    int raw_count, count, tail;  // recorded samples; grid samples; the first of these that is the last recorded one
    const double* t_ms;          // of grid samples
    const double* raw_ms;        // of recorded samples
    const int* left;             // the recorded sample at or before a grid sample
    const int* tile_first;       // first grid sample with left >= 64 tile; one entry more than there are tiles
    int bounded;                 // whether the tiles' bounds hold: not when a grid step spans many recorded samples
    double dt_ms;
    double start_ms, end_ms;     // the stimulus
    int start, end;              // first grid samples at or after these
    int after_end;               // first grid sample after end_ms
    int decay_begin, decay_end;
    int base_defined, median_base;
    Stretch base, stimulus_end, after, begin_base, begin_range, hyper, deflection_base, rest;
    double amplitude_nA;         // NaN: not given
    double threshold_mV, derivative_threshold, down_derivative_threshold;
    double rise_begin, rise_end, slow_start_ms, spike_skip, initial, burst_factor, strict_burst_factor;
    int derivative_window, strict, ignore_first, most_skipped, phaseslope_range;
    double initburst_hz, initburst_begin_ms, initburst_end_ms;
};

// Memory that one thread reuses for all its traces.
struct Scratch {
    double* v_mV;            // (count) where its tile is filled
    unsigned char* filled;   // (tiles of the grid)
    double *low, *high, *fall;  // (tiles of the recording): bounds of a tile with the sample after it
    double* work;            // (count + 8)
};

struct Trace {
    const Plan& plan;
    const void* samples;
    bool single;  // float32, else float64
    Scratch& scratch;

    double raw(int i) const {
        return single ? double(static_cast<const float*>(samples)[i]) : static_cast<const double*>(samples)[i];
    }
    double at(int k) {
        if (!scratch.filled[k / TILE]) fill(k / TILE);
        return scratch.v_mV[k];
    }
    void fill_range(int begin, int end) {
        const int first = begin > 0 ? begin / TILE : 0, last = (end < plan.count ? end : plan.count) - 1;
        for (int tile = first; tile <= last / TILE; ++tile)
            if (!scratch.filled[tile]) fill(tile);
    }
    double t(int k) const { return plan.t_ms[k]; }
    double slope(int k) {
        const int last = plan.count - 1;
        if (k == 0) return (at(1) - at(0)) / (t(1) - t(0));
        if (k == last) return (at(last) - at(last - 1)) / (t(last) - t(last - 1));
        return (at(k + 1) - at(k - 1)) / (t(k + 1) - t(k - 1));  // halving both is exact
    }
    void fill(int tile) {
        if (single) fill_from(static_cast<const float*>(samples), tile);
        else fill_from(static_cast<const double*>(samples), tile);
    }

    template <class Sample>
    void fill_from(const Sample* __restrict y, int tile) {
        scratch.filled[tile] = 1;
        const int begin = tile * TILE, stop = begin + TILE < plan.count ? begin + TILE : plan.count;
        const int end = stop < plan.tail ? stop : plan.tail;
        double* __restrict v = scratch.v_mV;
        const double* __restrict t_ms = plan.t_ms;
        const double* __restrict raw_ms = plan.raw_ms;
        if (end > begin && plan.left[end - 1] - plan.left[begin] == end - 1 - begin) {  // one recorded sample each
            const int shift = plan.left[begin] - begin;
            for (int k = begin; k < end; ++k) {
                const double y0 = y[k + shift], y1 = y[k + shift + 1], x0 = raw_ms[k + shift];
                v[k] = y0 + ((y1 - y0) / (raw_ms[k + shift + 1] - x0)) * (t_ms[k] - x0);
            }
        } else {
            for (int k = begin; k < end; ++k) {
                const int i = plan.left[k];
                const double y0 = y[i], y1 = y[i + 1];
                v[k] = y0 + ((y1 - y0) / (raw_ms[i + 1] - raw_ms[i])) * (t_ms[k] - raw_ms[i]);
            }
        }
        for (int k = end > begin ? end : begin; k < stop; ++k) v[k] = y[plan.left[k]];
    }

    // First grid sample in [begin, end) where value is least.  value(k) is what is compared.
    // bound is at most every value in a tile, but for rounding, which is below slack (1 + |bound|).  begin < end.
    // any(from, stop, limit) may be false only when no value there is at most the limit; samples are filled by then.
    template <class Value, class Any, class Bound>
    int first_least(int begin, int end, double slack, Value value, Any any, Bound bound) {
        int where = begin;
        double least = INFINITY;
        const auto look = [&](int from, int stop) {
            from = from < begin ? begin : from;
            stop = stop < end ? stop : end;
            fill_range(from - 1, stop + 1);
            if (!any(from, stop, least)) return;
            for (int k = from; k < stop; ++k)
                if (const double v = value(k); v < least || (v == least && k < where)) least = v, where = k;
        };
        if (!plan.bounded || end - begin <= 2 * TILE) {
            look(begin, end);
            return where;
        }
        // The likeliest tile first: what it holds rules out nearly all others.
        const int first = plan.left[begin] / TILE, last = plan.left[end - 1] / TILE;
        int best = first;
        double lowest = bound(first);
        for (int tile = first + 1; tile <= last; ++tile)
            if (const double b = bound(tile); b < lowest) lowest = b, best = tile;
        where = end;
        look(plan.tile_first[best], plan.tile_first[best + 1]);
        for (int tile = first; tile <= last; ++tile)
            if (const double b = bound(tile); tile != best && b - slack * (1 + std::fabs(b)) <= least)
                look(plan.tile_first[tile], plan.tile_first[tile + 1]);
        return where;
    }

    int lowest(int begin, int end) {
        const double* v = scratch.v_mV;
        const auto any = [v](int from, int stop, double limit) {
            int found = 0;
            for (int k = from; k < stop; ++k) found |= v[k] <= limit;
            return found;
        };
        return first_least(begin, end, 1e-12, [v](int k) { return v[k]; }, any,
                           [this](int tile) { return scratch.low[tile]; });
    }
    int highest(int begin, int end) {
        const double* v = scratch.v_mV;
        const auto any = [v](int from, int stop, double limit) {
            int found = 0;
            for (int k = from; k < stop; ++k) found |= -v[k] <= limit;
            return found;
        };
        return first_least(begin, end, 1e-12, [v](int k) { return -v[k]; }, any,
                           [this](int tile) { return -scratch.high[tile]; });
    }
    // A central difference reaches into the neighbouring tiles.
    int steepest_fall(int begin, int end) {
        const int tiles = (plan.raw_count + TILE - 1) / TILE;
        const double per_ms = 1 / plan.dt_ms;
        const double* v = scratch.v_mV;
        const double width = plan.count > 2 ? t(2) - t(0) : 1;
        const auto any = [v, width, last = plan.count - 1](int from, int stop, double limit) {
            if (from == 0 || stop > last) return 1;
            const double rise = limit * width + 1e-6 * (1 + std::fabs(limit));
            int found = 0;
            for (int k = from; k < stop; ++k) found |= v[k + 1] - v[k - 1] <= rise;
            return found;
        };
        const auto exactly = [this](int k) { return slope(k); };
        return first_least(begin, end, 1e-6, exactly, any, [this, tiles, per_ms](int tile) {
            double fall = scratch.fall[tile];
            if (tile > 0 && scratch.fall[tile - 1] < fall) fall = scratch.fall[tile - 1];
            if (tile + 1 < tiles && scratch.fall[tile + 1] < fall) fall = scratch.fall[tile + 1];
            return fall * per_ms;
        });
    }
    // First sample of [begin, end) with test, else end; tiles are passed over in which none can have it.
    template <class Test, class None>
    int first_of(int begin, int end, Test test, None none) {
        for (int k = begin; k < end;) {
            const int tile = plan.left[k] / TILE, stop = plan.tile_first[tile + 1] < end ? plan.tile_first[tile + 1] : end;
            if (none(tile)) {
                k = stop;
                continue;
            }
            for (; k < stop; ++k)
                if (test(at(k))) return k;
        }
        return end;
    }
    int first_above(int begin, int end, double v_mV) {  // or at v_mV
        const double surely = v_mV - 1e-12 * (1 + std::fabs(v_mV));
        return first_of(begin, end, [=](double v) { return v >= v_mV; },
                        [=](int tile) { return scratch.high[tile] < surely; });
    }
    int first_below(int begin, int end, double v_mV) {  // or at v_mV
        const double surely = v_mV + 1e-12 * (1 + std::fabs(v_mV));
        return first_of(begin, end, [=](double v) { return v <= v_mV; },
                        [=](int tile) { return scratch.low[tile] > surely; });
    }

    template <class Sample>
    static double weighted(const Sample* y, const double* weight, int count) {
        double sum[8] = {};
        int i = 0;
        for (; i + 8 <= count; i += 8)
            for (int l = 0; l < 8; ++l) sum[l] += weight[i + l] * y[i + l];
        for (; i < count; ++i) sum[0] += weight[i] * y[i];
        return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
    }
    // Of a stretch without change, rounding is all that is left of a difference of means: eFEL's is kept then.
    bool flat(const Stretch& s) const {
        double low = INFINITY, high = -INFINITY;
        for (int tile = s.raw_begin / TILE; tile * TILE < s.raw_end; ++tile) {
            low = scratch.low[tile] < low ? scratch.low[tile] : low;
            high = scratch.high[tile] > high ? scratch.high[tile] : high;
        }
        return high - low < 1e-6;
    }
    // Mean over a stretch, from recorded samples; it differs from mean_in_order by rounding.
    double mean(const Stretch& s) {
        const int count = s.raw_end - s.raw_begin;
        if (s.end <= s.begin) return NAN;
        if (flat(s)) return mean_in_order(s);
        return single ? weighted(static_cast<const float*>(samples) + s.raw_begin, s.weight, count)
                      : weighted(static_cast<const double*>(samples) + s.raw_begin, s.weight, count);
    }
    // The same, sample after sample: for where its very last bit decides.
    double mean_in_order(const Stretch& s) {
        double sum = 0;
        for (int k = s.begin; k < s.end; ++k) sum += at(k);
        return sum / (s.end - s.begin);
    }
};

}  // namespace features
