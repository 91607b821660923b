// What happens after a burst and until the next one?  In eFEL's definitions.
//
// Positions are grid samples, kept as doubles because that is what the scratch memory holds.
#pragma once
#include "shape.hpp"

namespace features {

// The spike that ends burst i, as a grid sample, and where the search after it stops: at the next spike, or where the
// stimulus ends, or the trace for a burst after it.
DEVICE inline int burst_end(Reading& r, int i) { return r.peaks()[r.list(BURST_ENDS)[i]]; }
DEVICE inline bool another_spike(Reading& r, int i) { return r.list(BURST_ENDS)[i] + 1 < r.peaks().count; }
DEVICE inline int search_end(Reading& r, int i) {
    if (another_spike(r, i)) return r.peaks()[r.list(BURST_ENDS)[i] + 1];
    return burst_end(r, i) < r.plan.end ? r.plan.end : r.plan.count;
}

DEVICE inline int interburst_lows(Reading& r, double* at) {
    const List& end = r.list(BURST_ENDS);
    if (end.status) return -end.status;
    int count = 0;
    for (; count < end.count && another_spike(r, count); ++count)
        at[count] = r.lowest(burst_end(r, count), search_end(r, count));
    return count ? count : -NOT_FOUND;
}
DEVICE inline int postburst_lows(Reading& r, double* at) {
    const List& end = r.list(BURST_ENDS);
    if (end.status) return -end.status;
    for (int i = 0; i < end.count; ++i) at[i] = r.lowest(burst_end(r, i), search_end(r, i));
    return end.count ? end.count : -NOT_FOUND;
}
// The lowest voltage some time after the burst; the next spike itself where it comes earlier than that.
DEVICE inline int slow_ahps(Reading& r, double* at) {
    const List& end = r.list(BURST_ENDS);
    if (end.status) return -end.status;
    int count = 0;
    for (int i = 0; i < end.count; ++i) {
        const int from = burst_end(r, i), stop = search_end(r, i);
        const int begin = r.first_at(from, stop, r.t(from) + r.plan.slow_start_ms);
        if (begin == stop && !another_spike(r, i)) continue;
        at[count++] = begin == stop ? stop : r.lowest(begin, stop);
    }
    return count ? count : -NOT_FOUND;
}
// The first valley after the burst; left out where it is the very last sample of what is searched.
DEVICE inline int fast_ahps(Reading& r, double* at) {
    const List& end = r.list(BURST_ENDS);
    if (end.status) return -end.status;
    if (end.count == 0) return -NOT_FOUND;
    const int last = burst_end(r, end.count - 1) < r.plan.end ? r.plan.end : r.plan.count;
    int count = 0;
    for (int i = 0; i < end.count; ++i) {
        const int k = r.first_valley(burst_end(r, i), search_end(r, i));
        if (k != last - 1) at[count++] = k;
    }
    return count ? count : -NOT_FOUND;
}
// The highest voltage between the two, unless it is the slow one's neighbour.
DEVICE inline int postburst_adps(Reading& r, double* at) {
    double* slow_at = r.scratch.work;
    double* fast_at = r.scratch.work + r.plan.count / 2;
    const int slow = slow_ahps(r, slow_at), fast = fast_ahps(r, fast_at);
    if (slow < 0) return slow;
    if (fast < 0) return fast;
    if (slow > fast) return -TOO_FEW;
    int count = 0;
    for (int i = 0; i < slow; ++i) {
        const int from = int(fast_at[i]), to = int(slow_at[i]);
        if (to <= from) continue;
        if (const int k = r.highest(from, to); k < to - 1) at[count++] = k;
    }
    return count ? count : -NOT_FOUND;
}
// After this share, in percent, of the time from the fast AHP to the next spike.
template <int percent>
DEVICE int interburst_points(Reading& r, double* at) {
    double* fast_at = r.scratch.work;
    const int fast = fast_ahps(r, fast_at);
    if (fast < 0) return fast;
    int count = 0;
    for (int i = 0; i < fast; ++i) {
        if (!another_spike(r, i)) continue;
        const double from_ms = r.t(int(fast_at[i])), interval_ms = r.t(search_end(r, i)) - from_ms;
        const int k = r.first_at(0, r.plan.count, from_ms + interval_ms * (percent / 100.));
        if (k == r.plan.count) return -BEYOND;
        at[count++] = k;
    }
    return count ? count : -NOT_FOUND;
}

template <Feature where>
DEVICE int voltage_where(Reading& r, double* out) {
    const int count = where(r, out);
    for (int i = 0; i < count; ++i) out[i] = r.at(int(out[i]));
    return count;
}
// Since the end of the burst of the same rank.
template <Feature where>
DEVICE int time_since_burst(Reading& r, double* out) {
    const int count = where(r, out);
    for (int i = 0; i < count; ++i) out[i] = r.t(int(out[i])) - r.t(burst_end(r, i));
    return count;
}
// Since the last spike before it, from the end of the burst of the same rank on: not each burst has one.
DEVICE inline int time_to_postburst_adp(Reading& r, double* out) {
    const int count = postburst_adps(r, out);
    for (int i = 0; i < count; ++i) {
        const double t_ms = r.t(int(out[i]));
        int spike = r.list(BURST_ENDS)[i];
        while (spike + 1 < r.peaks().count && r.peak_ms(spike + 1) < t_ms) ++spike;
        out[i] = t_ms - r.peak_ms(spike);
    }
    return count;
}

// Mean voltage from the last sample within 5 ms of one spike to the first within 5 ms of the next.  The two features find
// their bursts differently, and take samples at exactly 5 ms in differently.
DEVICE inline double mean_between(Reading& r, int begin, int end) {
    double sum = 0;
    for (int k = begin; k <= end; ++k) sum += r.at(k);
    return begin <= end ? sum / (end - begin + 1) : NAN;
}
DEVICE inline int interburst_voltage(Reading& r, double* out) {
    const int bursts = burst_spikes(r, out), count = r.plan.count;
    for (int i = 0; i < bursts; ++i) {
        const int spike = int(out[i]);
        const int begin = r.first_at(0, count, r.peak_ms(spike) + 5) - 1;
        const double until_ms = r.peak_ms(spike + 1) - 5;
        int end = r.first_at(0, count, until_ms);
        while (end < count && !(r.t(end) > until_ms)) ++end;
        out[i] = mean_between(r, begin, end);
    }
    return bursts;
}
DEVICE inline int strict_interburst_voltage(Reading& r, double* out) {
    const List& first = r.list(BURST_BEGINS);
    if (first.status) return -first.status;
    for (int i = 1; i < first.count; ++i) {
        const int last_spike = r.peaks()[first[i] - 1], next_spike = r.peaks()[first[i]];
        const double from_ms = r.t(last_spike) + 5, until_ms = r.t(next_spike) - 5;
        int begin = last_spike, end = next_spike;
        while (begin < next_spike && !(r.t(begin) > from_ms)) ++begin;
        --begin;
        while (end > begin && !(r.t(end) < until_ms)) --end;
        out[i - 1] = mean_between(r, begin, end + 1);
    }
    return first.count > 1 ? first.count - 1 : -TOO_FEW;
}

}  // namespace features
