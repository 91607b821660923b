// How are a trace's samples, its slopes and its filtered slopes read, in IPFX's conventions?
//
// IPFX (github.com/AllenInstitute/ipfx) reads recorded samples, in seconds and V/s, and differentiates forwards.  It
// filters by a Bessel filter run forwards and backwards (scipy's filtfilt: odd extension, steady initial state).
// One pass notes the least and greatest sample of every tile of 64; ipfx_search.hpp passes over the tiles that these
// bounds rule out.
#pragma once
#include "spikes.hpp"
#include "summary.hpp"

namespace ipfx {

using namespace features;

constexpr int ORDER = 4, PAD = 15;  // of the filter; samples by which filtfilt extends a trace

// A Bessel filter, and what it is forwards and backwards away from the ends: a symmetric kernel of 2 reach + 1 taps.
struct Filter {
    int applies;  // not where its frequency is at or above half the sampling frequency: there IPFX raises an error
    int reach, near;
    double rest;  // what the taps further away than `near` add up to, without their signs
    double b[ORDER + 1], a[ORDER + 1], steady[ORDER];
    const double* kernel;
};

struct Plan {
    int count;
    int start, end;    // nearest samples to the stimulus' edges; -1: outside the trace
    double start_s, end_s;
    double least_dt_s, most_dt_s;  // between samples
    const double* t_s;  // (count), and 16 more that are read but not used
    Filter light, heavy;
    double dv_cutoff, thresh_frac, min_height, min_peak, max_interval_s, reject_s;
    double burst_tol, pause_cost;
    // First and one past the last sample of a mean; first -1: outside the trace.
    int base_begin, sag_base_begin, steady_begin;
    double half_peak_width_s;
    double amplitude_nA;  // NaN: not given
};

// The least and greatest of every tile's samples and the one after them; one more entry at either end.
struct Bounds {
    double *low, *high;  // (tiles)
};

// Memory that one thread reuses for all its traces.
struct Scratch {
    double* smooth;                  // (count)
    Bounds recorded, filtered;
    double *forward;                 // (2 count + 2 PAD): a filter's first pass, or flags and integers
    double *work;                    // (2 count + 64)
    int* ints;                       // (LISTS, room(plan))
    const char *ahead, *ahead_end;   // what is left of the next trace to fetch while this one is worked on
};

// Samples of either precision, read as double.
struct Samples {
    const double* doubles;
    const float* floats;  // else null
    int count;

    INLINE double operator[](int k) const { return floats ? double(floats[k]) : doubles[k]; }
    // Those from k; the last one again where there are no more.
    INLINE Pack pack(int k) const {
        if (__builtin_expect(k + features::LANES > count, 0)) return last(k);
        return floats ? as_doubles(floats + k) : load(doubles + k);
    }

  private:
    SELDOM Pack last(int k) const {
        double x[features::LANES];
        for (int l = 0; l < features::LANES; ++l) x[l] = (*this)[smaller(k + l, count - 1)];
        return load(x);
    }
};

// numpy's sum of count numbers, in its order, because ties with a fraction of a mean decide where a
// threshold lies, and rounding whether a flat trace has a sag.
template <class At>
double pairwise(int begin, int count, At at) {
    if (count < 8) {
        double sum = 0;
        for (int i = 0; i < count; ++i) sum += at(begin + i);
        return sum;
    }
    if (count > 128) {
        const int half = count / 2 - count / 2 % 8;
        return pairwise(begin, half, at) + pairwise(begin + half, count - half, at);
    }
    double r[8];
    int i = 8;
    for (int l = 0; l < 8; ++l) r[l] = at(begin + l);
    for (; i < count - count % 8; i += 8)
        for (int l = 0; l < 8; ++l) r[l] += at(begin + i + l);
    double sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < count; ++i) sum += at(begin + i);
    return sum;
}

struct Trace {
    const Plan& plan;
    Scratch& scratch;
    Samples v;       // mV
    Samples smooth;  // what slopes are of: v, or filtered
    Bounds bounds, smooth_bounds;

    double t(int k) const { return plan.t_s[k]; }
    double slope(int k) const { return 1e-3 * (smooth[k + 1] - smooth[k]) / (t(k + 1) - t(k)); }  // V/s

    // The sample nearest to a time, the earlier of two; -1 outside the trace.
    int at_time(double t_s) const {
        const int last = plan.count - 1;
        if (!(t(0) <= t_s && t_s <= t(last))) return -1;
        int k = int((t_s - t(0)) / (t(last) - t(0)) * last);
        while (k > 0 && std::fabs(t(k - 1) - t_s) <= std::fabs(t(k) - t_s)) --k;
        while (k < last && std::fabs(t(k + 1) - t_s) < std::fabs(t(k) - t_s)) ++k;
        return k;
    }

    // The mean of samples [begin, end).
    double mean(int begin, int end) const {
        return pairwise(begin, end - begin, [this](int k) { return v[k]; }) / (end - begin);
    }

    // filtfilt of samples [begin, end), into out[0 .. end - begin).  A margin of the filter's reach, or the ends as
    // scipy extends them, makes it what filtering the whole trace gives.
    void filtered(const Filter& filter, int begin, int end, double* out) const {
        const int n = plan.count, reach = filter.reach;
        if (inside(filter, begin, end)) {
            convolve(filter.kernel, reach, begin, end, out);
            return;
        }
        const int from = begin - 2 * reach > 0 ? begin - 2 * reach : -PAD;
        const int to = end + 2 * reach < n ? end + 2 * reach : n + PAD;
        const auto extended = [&](int k) {
            return k < 0 ? 2 * v[0] - v[-k] : k >= n ? 2 * v[n - 1] - v[2 * (n - 1) - k] : v[k];
        };
        double* forward = scratch.forward;
        double state[ORDER];
        for (int i = 0; i < ORDER; ++i) state[i] = filter.steady[i] * extended(from);
        for (int k = from; k < to; ++k) forward[k - from] = advance(filter, state, extended(k));
        for (int i = 0; i < ORDER; ++i) state[i] = filter.steady[i] * forward[to - 1 - from];
        for (int k = to - 1; k >= begin; --k) {
            const double y = advance(filter, state, forward[k - from]);
            if (k < end) out[k - begin] = y;
        }
    }

    bool inside(const Filter& filter, int begin, int end) const {
        return begin - filter.reach >= 0 && end + filter.reach <= plan.count;
    }
    // The same but for the taps that are further away than filter.near, of samples that are inside.
    void nearly_filtered(const Filter& filter, int begin, int end, double* out) const {
        convolve(filter.kernel + filter.reach - filter.near, filter.near, begin, end, out);
    }

  private:
    static double advance(const Filter& f, double (&z)[ORDER], double x) {
        const double y = f.b[0] * x + z[0];
        for (int i = 0; i + 1 < ORDER; ++i) z[i] = f.b[i + 1] * x + z[i + 1] - f.a[i + 1] * y;
        z[ORDER - 1] = f.b[ORDER] * x - f.a[ORDER] * y;
        return y;
    }
    // WIDE samples at a time, which hide each other's latency.  A few too many are found rather than few of them slowly:
    // out has room for WIDE.
    void convolve(const double* kernel, int reach, int begin, int end, double* __restrict out) const {
        constexpr int WIDE = 24;
        const int taps = 2 * reach + 1;
        int size = end - begin;
        if (size < WIDE && begin + WIDE + reach <= plan.count) size = WIDE;
        const double* x = v.doubles + begin - reach;
        if (v.floats) {
            double* converted = scratch.forward;
            for (int k = 0; k < size + 2 * reach; ++k) converted[k] = v.floats[begin - reach + k];
            x = converted;
        }
        if (size < WIDE) {
            for (int k = 0; k < size; ++k) {
                out[k] = 0;
                for (int j = 0; j < taps; ++j) out[k] += kernel[j] * x[k + j];
            }
            return;
        }
        for (int k = 0; k < size; k += WIDE) {
            const int at = k + WIDE <= size ? k : size - WIDE;
            double sum[WIDE] = {};
            for (int j = 0; j < taps; ++j)
                for (int l = 0; l < WIDE; ++l) sum[l] += kernel[j] * x[at + j + l];
            for (int l = 0; l < WIDE; ++l) out[at + l] = sum[l];
        }
    }
};

// Begins a trace: bounds of its tiles, slopes filtered where that applies.  Returns whether all samples are finite.
inline bool open(const Plan& plan, const void* samples, bool single, Scratch& scratch, Trace& trace) {
    const int n = plan.count;
    const auto* floats = single ? static_cast<const float*>(samples) : nullptr;
    const auto* doubles = single ? nullptr : static_cast<const double*>(samples);
    const Bounds& bounds = scratch.recorded;
    trace.v = trace.smooth = Samples{doubles, floats, n};
    trace.bounds = trace.smooth_bounds = bounds;
    if (!(single ? summarise(floats, n, bounds.low, bounds.high) : summarise(doubles, n, bounds.low, bounds.high)))
        return false;
    if (plan.light.applies && n > PAD) {
        trace.filtered(plan.light, 0, n, scratch.smooth);
        trace.smooth = Samples{scratch.smooth, nullptr, n};
        trace.smooth_bounds = scratch.filtered;
        summarise(scratch.smooth, n, scratch.filtered.low, scratch.filtered.high);
    }
    return true;
}

}  // namespace ipfx
