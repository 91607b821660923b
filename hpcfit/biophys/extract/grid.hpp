// How is one trace read on the grid of its interpolated samples, touching as little of it as possible?
//
// Features are defined on the trace interpolated to a step of 0.1 ms.  One pass over the recorded samples notes, for
// every tile of 64, the least and greatest voltage; searches skip the tiles that these bounds rule out, and only the
// rest is interpolated, exactly, 16 samples at a time: (y1 - y0) / dx first, then times the offset, without
// contraction, because ties between neighbouring samples decide where a minimum lies.
#pragma once
#include "packs.hpp"

namespace features {

constexpr int TILE = 64, FILL = 16;

// Minus these is what a feature without value returns.  The order is hpcfit.biophys.extract.table.Reason's.
enum Reason : int {
    NOT_FINITE = 1,     // the trace holds a NaN or an infinity
    NO_SPIKE = 2,       // the voltage does not rise and fall through the threshold
    TOO_FEW = 3,        // fewer spikes, or events derived from them, than the feature needs
    OUTSIDE = 4,        // the samples it needs lie outside the trace, or the stretch they are in is empty
    NOT_FOUND = 5,      // what the feature looks for is not there
    BEYOND = 6,         // the definition would read beyond the end of the trace, or of a list paired by rank
    NO_STIMULUS = 7,    // needs the stimulus' amplitude, or its current, which was not given
    EMPTY = 8,          // defined, and there is nothing in it
    NOT_A_NUMBER = 9,   // defined, but its mean is no finite number
};

// A stretch of the grid, and how its mean follows from recorded samples: sum of weight * sample.
struct Stretch {
    int begin, end;          // grid samples
    int raw_begin, raw_end;  // recorded samples
    const double* weight;    // raw_end - raw_begin of them
};

// What is known of the injected current before any trace: numbers, or minus the Reason why there is none.
struct Current {
    double base_nA, end_nA;
    int base_status, end_status;
};
// The spectrum of the current up to the highest frequency wanted, and how that of a voltage follows from blocks of
// samples: of each, moments about its middle, which a Taylor series turns into its share of every frequency.
struct Spectrum {
    int status;                // minus a Reason, else 0
    int count, block, terms;   // frequencies; samples in a block; of the series
    const double* hertz;       // (count)
    const double* current;     // (count) magnitude
    const double* power;       // (block, terms): place in the block, from -1 to 1, to the power of the term
    const double* series;      // (terms, count)
    const double *turn_re, *turn_im;  // (count) a frequency's phase from one block to the next
    const double* smooth;      // (2 radius + 1) weights of neighbouring frequencies
    int radius;
};

// What all traces of a batch share.
struct Plan {
    int raw_count, count, tail;  // recorded samples; grid samples; the first of these that is the last recorded one
    const double* t_ms;          // of grid samples, and 8 more that are read but not used
    const double* raw_ms;        // of recorded samples
    int regular;                 // whether raw_ms[i] is i * dt_ms to the last bit, so that it need not be read
    const int* left;             // the recorded sample at or before a grid sample
    const int* fill_left;        // left of the first of 16 grid samples that take a recorded sample each, else -1
    const int* tile_first;       // first grid sample with left >= 64 tile; one entry more than there are tiles
    int bounded;                 // whether the tiles' bounds hold: not when a grid step spans many recorded samples
    double dt_ms, least_dt_ms;   // the first interval between recorded samples, and the least
    double step_ms;              // between grid samples, about
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
    double least_block_ms;
    Current current;
    Spectrum spectrum;
    int decays;         // after so many steps of a stimulus
    const int* decay;   // (decays, 3): first grid samples of the step, and of the stretch that decays, and its end

    INLINE int raw_tiles() const { return (raw_count + TILE - 1) / TILE; }
};

// Memory that one thread reuses for all its traces.  Packs read up to 8 numbers beyond what they use.
struct Scratch {
    double* v_mV;           // (count + 8) where it is filled
    unsigned char* filled;  // (count / 16 + 1)
    double *low, *high;     // (tiles of the recording + 8), and one before: bounds of a tile with the sample after it
    double *work, *out;     // (count + 8)
    int* landmarks;         // room for the lists of spikes.hpp
    const char *ahead, *ahead_end;  // what is left of the next trace that may be fetched meanwhile; null: nothing
};

struct Trace {
    const Plan& plan;
    const void* samples;
    bool single;  // float32, else float64
    Scratch& scratch;

    INLINE double raw(int i) const {
        return single ? double(static_cast<const float*>(samples)[i]) : static_cast<const double*>(samples)[i];
    }
    INLINE double at(int k) {
        if (!scratch.filled[k / FILL]) fill(k / FILL);
        return scratch.v_mV[k];
    }
    INLINE void fill_range(int begin, int end) {
        const int first = larger(begin, 0) / FILL, last = (smaller(end, plan.count) - 1) / FILL;
        for (int block = first; block <= last; ++block)
            if (!scratch.filled[block]) fill(block);
    }
    INLINE double t(int k) const { return plan.t_ms[k]; }
    // The recorded sample at or before a grid sample.
    INLINE int left(int k) const {
        const int whole = plan.fill_left[k / FILL];
        return whole >= 0 ? whole + k % FILL : plan.left[k];
    }
    // First grid sample of [begin, end) at or after a time, else end.
    INLINE int first_at(int begin, int end, double from_ms) const {
        const double steps = (from_ms - t(begin)) / plan.step_ms;
        int k = begin + (steps > 0 ? steps < end - begin ? int(steps) : end - begin : 0);
        while (k > begin && !(t(k - 1) < from_ms)) --k;
        while (k < end && t(k) < from_ms) ++k;
        return k;
    }
    INLINE double slope(int k) {
        const int last = plan.count - 1, before = k == 0 ? 0 : k - 1, after = k == last ? last : k + 1;
        return (at(after) - at(before)) / (t(after) - t(before));  // halving both, inside, is exact
    }
    SELDOM void fill(int block) {
        fetch_ahead();
        if (single) fill_from(static_cast<const float*>(samples), block);
        else fill_from(static_cast<const double*>(samples), block);
    }

    // Reading a trace takes longer than looking at it: the next one comes while this one is worked on.
    INLINE void fetch_ahead() {
        constexpr int LINE = 64, LINES = 16;
        const long left = scratch.ahead_end - scratch.ahead, some = LINE * LINES;
        const char* end = scratch.ahead + (left < some ? left : some);
        for (; scratch.ahead < end; scratch.ahead += LINE) prefetch<2>(scratch.ahead);
    }

    template <class Sample>
    INLINE void fill_from(const Sample* y, int block) {
        scratch.filled[block] = 1;
        const int begin = block * FILL, left = plan.fill_left[block];
        if (left >= 0 && plan.regular) {
            for (int k = begin, i = left; k < begin + FILL; k += LANES, i += LANES)
                fill_pack(y, k, i, counted_from(i) * plan.dt_ms, counted_from(i + 1) * plan.dt_ms);
        } else if (left >= 0) {
            for (int k = begin, i = left; k < begin + FILL; k += LANES, i += LANES)
                fill_pack(y, k, i, load(plan.raw_ms + i), load(plan.raw_ms + i + 1));
        } else {
            fill_slowly(y, begin, smaller(begin + FILL, plan.count));
        }
    }
    template <class Sample>
    INLINE void fill_pack(const Sample* y, int k, int i, Pack x0, Pack x1) {
        const Pack y0 = as_doubles(y + i), y1 = as_doubles(y + i + 1);
        store(scratch.v_mV + k, y0 + ((y1 - y0) / (x1 - x0)) * (load(plan.t_ms + k) - x0));
    }
    template <class Sample>
    DEVICE void fill_slowly(const Sample* y, int begin, int stop) {
        const int end = smaller(stop, plan.tail);
        double* v = scratch.v_mV;
        const double *t_ms = plan.t_ms, *raw_ms = plan.raw_ms;
        for (int k = begin; k < end; ++k) {
            const int i = plan.left[k];
            const double y0 = y[i], y1 = y[i + 1];
            v[k] = y0 + ((y1 - y0) / (raw_ms[i + 1] - raw_ms[i])) * (t_ms[k] - raw_ms[i]);
        }
        for (int k = larger(begin, end); k < stop; ++k) v[k] = y[plan.left[k]];
    }

    template <class Sample>
    DEVICE static double weighted(const Sample* y, const double* weight, int count) {
        double sum[8] = {};
        int i = 0;
        for (; i + 8 <= count; i += 8)
            for (int l = 0; l < 8; ++l) sum[l] += weight[i + l] * y[i + l];
        for (; i < count; ++i) sum[0] += weight[i] * y[i];
        return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
    }
    // Of a stretch without change, rounding is all that is left of a difference of means: eFEL's is kept then.
    DEVICE bool flat(const Stretch& s) const {
        double low = INFINITY, high = -INFINITY;
        for (int tile = s.raw_begin / TILE; tile * TILE < s.raw_end; ++tile) {
            low = scratch.low[tile] < low ? scratch.low[tile] : low;
            high = scratch.high[tile] > high ? scratch.high[tile] : high;
        }
        return high - low < 1e-6;
    }
    // Mean over a stretch, from recorded samples; it differs from mean_in_order by rounding.
    DEVICE double mean(const Stretch& s) {
        const int count = s.raw_end - s.raw_begin;
        if (s.end <= s.begin) return NAN;
        if (flat(s)) return mean_in_order(s);
        return single ? weighted(static_cast<const float*>(samples) + s.raw_begin, s.weight, count)
                      : weighted(static_cast<const double*>(samples) + s.raw_begin, s.weight, count);
    }
    // The same, sample after sample: for where its very last bit decides.
    DEVICE double mean_in_order(const Stretch& s) {
        double sum = 0;
        for (int k = s.begin; k < s.end; ++k) sum += at(k);
        return sum / (s.end - s.begin);
    }
};

}  // namespace features
