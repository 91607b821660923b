// How are a trace's samples, its slopes and its filtered slopes read, in IPFX's conventions?
//
// IPFX (github.com/AllenInstitute/ipfx) reads recorded samples, in seconds and V/s, and differentiates forwards.  It
// filters by a Bessel filter run forwards and backwards (scipy's filtfilt: odd extension, steady initial state).
// One pass notes the extremes of every tile of 64 samples; searches look into those tiles only that can hold what is sought.
#pragma once
#include "spikes.hpp"

namespace ipfx {

using namespace features;

constexpr int ORDER = 4, PAD = 15;  // of the filter; samples by which filtfilt extends a trace

// A Bessel filter, and what it is forwards and backwards away from the ends: a symmetric kernel of 2 reach + 1 taps.
struct Filter {
    int applies;  // not where its frequency is at or above half the sampling frequency: there IPFX raises an error
    int reach;
    double b[ORDER + 1], a[ORDER + 1], steady[ORDER];
    const double* kernel;
};

struct Plan {
    int count;
    int start, end;    // nearest samples to the stimulus' edges; -1: outside the trace
    double start_s, end_s;
    const double* t_s;  // (count)
    Filter light, heavy;
    double dv_cutoff, thresh_frac, min_height, min_peak, max_interval_s, reject_s;
    double burst_tol, pause_cost;
    // First and one past the last sample of a mean; first -1: outside the trace.
    int base_begin, sag_base_begin, steady_begin;
    double half_peak_width_s;
    double amplitude_nA;  // NaN: not given
};

// Memory that one thread reuses for all its traces.
struct Scratch {
    double *v_mV, *smooth, *low, *high, *fall, *rise;  // (count), (count), (tiles) of each bound
    double *forward;                                   // (2 count + 2 PAD): a filter's first pass, or flags and integers
    double *work;                                      // (2 count + 16)
    int* ints;                                         // (LISTS, room(plan))
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
    const double* v;       // samples, mV
    const double* smooth;  // what slopes are of: v, or filtered

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

    // First sample of [begin, end) with the least value.  bound(tile) + slack is not above any value in the tile.
    template <class Value, class Bound>
    static int first_least(int begin, int end, Value value, Bound bound) {
        int where = begin;
        double least = INFINITY;
        const auto look = [&](int from, int stop) {
            from = from < begin ? begin : from;
            stop = stop < end ? stop : end;
            for (int k = from; k < stop; ++k)
                if (const double x = value(k); x < least || (x == least && k < where)) least = x, where = k;
        };
        if (end - begin <= TILE) {
            look(begin, end);
            return where;
        }
        const int first = begin / TILE, last = (end - 1) / TILE;
        int best = first;
        double bottom = INFINITY;
        for (int tile = first; tile <= last; ++tile)
            if (const double b = bound(tile); b < bottom) bottom = b, best = tile;
        look(best * TILE, best * TILE + TILE);
        for (int tile = first; tile <= last; ++tile)
            if (tile != best && bound(tile) <= least) look(tile * TILE, tile * TILE + TILE);
        return where;
    }
    int lowest(int begin, int end) const {
        return first_least(begin, end, [this](int k) { return v[k]; }, [this](int tile) { return scratch.low[tile]; });
    }
    int highest(int begin, int end) const {
        return first_least(begin, end, [this](int k) { return -v[k]; }, [this](int tile) { return -scratch.high[tile]; });
    }
    // The bounds are of differences; intervals of time differ by rounding.
    double bound_V_s(double change_mV) const {
        const double x = 1e-3 * change_mV / (t(1) - t(0));
        return x - 1e-6 * std::fabs(x);
    }
    int steepest_fall(int begin, int end) const {
        return first_least(begin, end, [this](int k) { return slope(k); },
                           [this](int tile) { return bound_V_s(scratch.fall[tile]); });
    }
    int steepest_rise(int begin, int end) const {
        return first_least(begin, end, [this](int k) { return -slope(k); },
                           [this](int tile) { return bound_V_s(-scratch.rise[tile]); });
    }
    bool falls(int begin, int end) const {  // anywhere
        for (int k = begin; k < end; ++k)
            if (smooth[k + 1] < smooth[k]) return true;
        return false;
    }

    // The mean of samples [begin, end).
    double mean(int begin, int end) const {
        return pairwise(begin, end - begin, [this](int k) { return v[k]; }) / (end - begin);
    }

    // filtfilt of samples [begin, end), into out[0 .. end - begin).  A margin of the filter's reach, or the ends as
    // scipy extends them, makes it what filtering the whole trace gives.
    void filtered(const Filter& filter, int begin, int end, double* out) const {
        const int n = plan.count, reach = filter.reach;
        if (begin - reach >= 0 && end + reach <= n) {
            convolve(filter, begin, end, out);
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

  private:
    static double advance(const Filter& f, double (&z)[ORDER], double x) {
        const double y = f.b[0] * x + z[0];
        for (int i = 0; i + 1 < ORDER; ++i) z[i] = f.b[i + 1] * x + z[i + 1] - f.a[i + 1] * y;
        z[ORDER - 1] = f.b[ORDER] * x - f.a[ORDER] * y;
        return y;
    }
    // LANES samples at a time, which hide each other's latency.  A few too many are found rather than few of them slowly:
    // out has room for LANES.
    void convolve(const Filter& filter, int begin, int end, double* __restrict out) const {
        constexpr int LANES = 32;
        const int taps = 2 * filter.reach + 1;
        int size = end - begin;
        const double* x = v + begin - filter.reach;
        if (size < LANES && begin + LANES + filter.reach <= plan.count) size = LANES;
        if (size < LANES) {
            for (int k = 0; k < size; ++k) {
                out[k] = 0;
                for (int j = 0; j < taps; ++j) out[k] += filter.kernel[j] * x[k + j];
            }
            return;
        }
        for (int k = 0; k < size; k += LANES) {
            const int at = k + LANES <= size ? k : size - LANES;
            double sum[LANES] = {};
            for (int j = 0; j < taps; ++j)
                for (int l = 0; l < LANES; ++l) sum[l] += filter.kernel[j] * x[at + j + l];
            for (int l = 0; l < LANES; ++l) out[at + l] = sum[l];
        }
    }
};

// Begins a trace: its samples in double precision, slopes filtered where that applies, the bounds of every tile.
// Returns whether all samples are finite.
template <class Sample>
bool open(const Plan& plan, const Sample* samples, Scratch& scratch, Trace& trace) {
    const int n = plan.count;
    if constexpr (sizeof(Sample) == sizeof(double)) {
        trace.v = reinterpret_cast<const double*>(samples);
    } else {
        for (int k = 0; k < n; ++k) scratch.v_mV[k] = samples[k];
        trace.v = scratch.v_mV;
    }
    const double* v = trace.v;
    trace.smooth = v;
    if (plan.light.applies && n > PAD) {
        trace.filtered(plan.light, 0, n, scratch.smooth);
        trace.smooth = scratch.smooth;
    }
    const double* s = trace.smooth;
    typedef double Lanes __attribute__((vector_size(64)));
    const auto load = [](const double* from) {
        Lanes loaded;
        __builtin_memcpy(&loaded, from, sizeof loaded);
        return loaded;
    };
    double total = 0;
    for (int tile = 0; tile * TILE < n; ++tile) {
        const int begin = tile * TILE, end = begin + TILE < n ? begin + TILE : n;
        double low = v[begin], high = low, fall = INFINITY, rise = -INFINITY;
        int k = begin;
        if (end - begin == TILE && end < n) {
            Lanes lows = load(v + k), highs = lows, falls = load(s + k + 1) - load(s + k), rises = falls, sum = {};
            for (; k < end; k += 8) {
                const Lanes here = load(v + k), change = load(s + k + 1) - load(s + k);
                lows = here < lows ? here : lows;
                highs = here > highs ? here : highs;
                falls = change < falls ? change : falls;
                rises = change > rises ? change : rises;
                sum += here;
            }
            for (int l = 0; l < 8; ++l) {
                low = lows[l] < low ? lows[l] : low;
                high = highs[l] > high ? highs[l] : high;
                fall = falls[l] < fall ? falls[l] : fall;
                rise = rises[l] > rise ? rises[l] : rise;
                total += sum[l];
            }
        }
        for (; k < end; ++k) {
            low = v[k] < low ? v[k] : low;
            high = v[k] > high ? v[k] : high;
            total += v[k];
            if (k + 1 == n) break;
            const double change = s[k + 1] - s[k];
            fall = change < fall ? change : fall;
            rise = change > rise ? change : rise;
        }
        scratch.low[tile] = low, scratch.high[tile] = high, scratch.fall[tile] = fall, scratch.rise[tile] = rise;
    }
    return std::isfinite(total);
}

}  // namespace ipfx
