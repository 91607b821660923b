// When does the cell fire?  Counts, times, intervals, rates and bursts, in eFEL's definitions.
//
// A feature writes its values to out and returns how many there are, or minus a Reason.
#pragma once
#include "spikes.hpp"

namespace features {

using Feature = int (*)(Reading&, double*);

// One entry of a list, counted from its front, or from its end when negative.
template <Feature whole, int which>
DEVICE int entry(Reading& r, double* out) {
    const int count = whole(r, out);
    if (count < 0) return count;
    const int at = which < 0 ? count + which : which;
    if (at < 0 || at >= count) return count ? -TOO_FEW : -NOT_FOUND;
    out[0] = out[at];
    return 1;
}
template <Feature whole, int from, int to>
DEVICE int step(Reading& r, double* out) {
    const int count = whole(r, out);
    if (count < 0) return count;
    if (count <= from || count <= to) return -TOO_FEW;
    out[0] = out[to] - out[from];
    return 1;
}
template <Feature whole>
DEVICE int negative(Reading& r, double* out) {
    const int count = whole(r, out);
    for (int i = 0; i < count; ++i) out[i] = -out[i];
    return count;
}
template <Feature whole>
DEVICE int differences(Reading& r, double* out) {
    const int count = whole(r, out);
    if (count < 0) return count;
    if (count < 2) return -TOO_FEW;
    for (int i = 0; i + 1 < count; ++i) out[i] = out[i + 1] - out[i];
    return count - 1;
}
// Relative to the first entry.
template <Feature whole>
DEVICE int changes(Reading& r, double* out) {
    const int count = whole(r, out);
    if (count < 0) return count;
    if (count < 2) return -TOO_FEW;
    const double first = out[0];
    for (int i = 0; i + 1 < count; ++i) out[i] = (out[i + 1] - first) / first;
    return count - 1;
}
template <Feature whole>
DEVICE int mean_of(Reading& r, double* out) {
    const int count = whole(r, out);
    if (count <= 0) return count;
    double sum = 0;
    for (int i = 0; i < count; ++i) sum += out[i];
    out[0] = sum / count;
    return 1;
}
template <Feature whole>
DEVICE int inverse(Reading& r, double* out) {
    const int count = whole(r, out);
    for (int i = 0; i < count; ++i) out[i] = 1000.0 / out[i];
    return count;
}
template <Feature whole>
DEVICE int count_of(Reading& r, double* out) {
    const int count = whole(r, out);
    out[0] = count > 0 ? count : 0;
    return 1;
}

DEVICE inline int spike_count(Reading& r, double* out) {
    const List& peak = r.peaks();
    out[0] = peak.status ? 0 : peak.count;
    return 1;
}
DEVICE inline bool inside(Reading& r, double t_ms) { return t_ms >= r.plan.start_ms && t_ms <= r.plan.end_ms; }

DEVICE inline int spike_count_stimint(Reading& r, double* out) {
    const List& peak = r.peaks();
    int count = 0;
    for (int i = 0; i < peak.count; ++i) count += inside(r, r.peak_ms(i));
    out[0] = count;
    return 1;
}
DEVICE inline int trace_check(Reading& r, double* out) {
    const List& peak = r.peaks();
    for (int i = 0; i < peak.count; ++i)
        if (!(r.peak_ms(i) >= r.plan.start_ms && r.peak_ms(i) <= r.plan.end_ms * 1.05)) return -NOT_FOUND;
    out[0] = 0;
    return 1;
}
DEVICE inline int is_not_stuck(Reading& r, double* out) {
    const List& peak = r.peaks();
    if (peak.status) return -peak.status;
    for (int i = 0; i < peak.count; ++i)
        if (r.peak_ms(i) > r.plan.end_ms * 0.5 && r.peak_ms(i) < r.plan.end_ms) {
            out[0] = 1;
            return 1;
        }
    return -NOT_FOUND;
}
DEVICE inline int peak_time(Reading& r, double* out) {
    const List& peak = r.peaks();
    if (peak.status) return -peak.status;
    for (int i = 0; i < peak.count; ++i) out[i] = r.peak_ms(i);
    return peak.count;
}
DEVICE inline int latency(Reading& r, double* out) {
    const int count = peak_time(r, out);
    for (int i = 0; i < count; ++i) out[i] -= r.plan.start_ms;
    return count;
}
DEVICE inline int all_isi(Reading& r, double* out) {
    const List& peak = r.peaks();
    if (peak.status) return -peak.status;
    if (peak.count < 2) return -TOO_FEW;
    for (int i = 0; i + 1 < peak.count; ++i) out[i] = r.peak_ms(i + 1) - r.peak_ms(i);
    return peak.count - 1;
}
// Without the first interval, unless it is asked for: of two spikes nothing is left, which is not the same as undefined.
DEVICE inline int isis(Reading& r, double* out) {
    const int count = all_isi(r, out);
    if (count < 0 || !r.plan.ignore_first) return count;
    for (int i = 0; i + 1 < count; ++i) out[i] = out[i + 1];
    return count == 1 ? -EMPTY : count - 1;
}
DEVICE inline int isi_cv(Reading& r, double* out) {
    const int count = isis(r, out);
    if (count < 0) return count == -EMPTY ? -TOO_FEW : count;
    if (count < 2) return -TOO_FEW;
    double sum = 0, squares = 0;
    for (int i = 0; i < count; ++i) sum += out[i];
    const double mean = sum / count;
    for (int i = 0; i < count; ++i) squares += (out[i] - mean) * (out[i] - mean);
    out[0] = std::sqrt(squares / (count - 1)) / mean;
    return 1;
}
DEVICE inline int single_burst_ratio(Reading& r, double* out) {
    const int count = isis(r, out);
    if (count < 0) return count == -EMPTY ? -TOO_FEW : count;
    if (count < 2) return -TOO_FEW;
    double sum = 0;
    for (int i = 0; i < count; ++i) sum += out[i];
    out[0] /= sum / count;
    return 1;
}
DEVICE inline int irregularity_index(Reading& r, double* out) {
    const int count = isis(r, out);
    if (count < 0) return count == -EMPTY ? -TOO_FEW : count;
    if (count < 2) return -TOO_FEW;
    double sum = 0;
    for (int i = 0; i + 1 < count; ++i) sum += std::fabs(out[i + 1] - out[i]);
    out[0] = sum / (count - 1);
    return 1;
}
// Slope of log(interval) against its rank, or the logarithm of its rank, after skipping the first few.
DEVICE inline int log_slope(Reading& r, double* out, bool semilog, bool skip) {
    int count = isis(r, out);
    if (count < 0) return count == -EMPTY ? -TOO_FEW : count;
    int from = 0;
    if (skip) {
        const int wanted = int((count + 1) * r.plan.spike_skip + 0.5);
        from = wanted < r.plan.most_skipped ? wanted : r.plan.most_skipped;
    }
    count -= from;
    if (count == 1 && semilog) {  // one point: the least-norm line through it
        out[0] = std::log(out[from]) / 2;
        return 1;
    }
    if (count < 2) return -TOO_FEW;
    double x_mean = 0, y_mean = 0, xy = 0, xx = 0;
    const auto x = [&](int i) { return semilog ? i + 1.0 : std::log(i + 1.0); };
    for (int i = 0; i < count; ++i) x_mean += x(i) / count, y_mean += std::log(out[from + i]) / count;
    for (int i = 0; i < count; ++i) {
        xy += (x(i) - x_mean) * (std::log(out[from + i]) - y_mean);
        xx += (x(i) - x_mean) * (x(i) - x_mean);
    }
    out[0] = xy / xx;
    return 1;
}
DEVICE inline int isi_log_slope(Reading& r, double* out) { return log_slope(r, out, false, false); }
DEVICE inline int isi_semilog_slope(Reading& r, double* out) { return log_slope(r, out, true, false); }
DEVICE inline int isi_log_slope_skip(Reading& r, double* out) { return log_slope(r, out, false, true); }

// Spikes inside the stimulus over the time to the last of them; 0, not undefined, when all are outside.
DEVICE inline int mean_frequency(Reading& r, double* out) {
    const List& peak = r.peaks();
    if (peak.status) return -peak.status;
    double last_ms = 0;
    int count = 0;
    for (int i = 0; i < peak.count; ++i)
        if (inside(r, r.peak_ms(i))) last_ms = r.peak_ms(i), ++count;
    if (last_ms == r.plan.start_ms) return -NOT_FOUND;
    out[0] = count * 1000 / (last_ms - r.plan.start_ms);
    return 1;
}
DEVICE inline int number_initial_spikes(Reading& r, double* out) {
    const List& peak = r.peaks();
    if (peak.status) return -peak.status;
    const double from = r.plan.start_ms, length = (r.plan.end_ms - from) * r.plan.initial;
    int count = 0;
    for (int i = 0; i < peak.count; ++i) count += (r.peak_ms(i) < from + length) - (r.peak_ms(i) < from);
    out[0] = count;
    return 1;
}
// Mean of (next - interval) / (next + interval) over spikes inside the stimulus, without the first few.
DEVICE inline int adaptation(Reading& r, double* out, bool second) {
    int count = peak_time(r, out), kept = 0;
    if (count < 0) return count;
    for (int i = 0; i < count; ++i)
        if (inside(r, out[i])) out[kept++] = out[i];
    int from = 1;
    if (!second) {
        const int wanted = int(kept * r.plan.spike_skip + 0.5);
        from = r.plan.most_skipped < wanted ? r.plan.most_skipped : wanted;
    }
    if (second ? kept < 4 : kept - from < 4) return -TOO_FEW;
    double sum = 0;
    for (int i = from + 1; i + 1 < kept; ++i) {
        const double last = out[i] - out[i - 1], next = out[i + 1] - out[i];
        sum += (next - last) / (next + last);
    }
    out[0] = sum / (kept - from - 2);
    return 1;
}
DEVICE inline int adaptation_index(Reading& r, double* out) { return adaptation(r, out, false); }
DEVICE inline int adaptation_index2(Reading& r, double* out) { return adaptation(r, out, true); }

// Spikes at which an interval is long against the median of its burst and the next one short again.
DEVICE inline int burst_spikes(Reading& r, double* out) {
    const int count = isis(r, r.scratch.work);
    if (count < 0) return count == -EMPTY ? -TOO_FEW : count;
    if (count < 4) return -TOO_FEW;
    const int skip = r.plan.ignore_first ? 1 : 0;
    const auto interval = [&](int i) { return r.peak_ms(skip + i + 1) - r.peak_ms(skip + i); };
    int found = 0, from = 0;
    for (int i = 1; i + 1 < count; ++i) {
        if (from >= i) continue;
        for (int j = from; j < i; ++j) r.scratch.work[j - from] = interval(j);
        const double median = Reading::median(r.scratch.work, i - from);
        if (interval(i) > r.plan.burst_factor * median && interval(i + 1) < interval(i) / r.plan.burst_factor)
            out[found++] = i + 1, from = i;
    }
    return found ? found : -NOT_FOUND;
}
DEVICE inline int burst_mean_freq(Reading& r, double* out) {
    double* at = r.scratch.work + r.plan.count / 2;
    const int bursts = burst_spikes(r, at);
    if (bursts < 0) return bursts;
    const int last = r.peaks().count - 1;
    const auto spike = [&](int i) { return i < bursts ? int(at[i]) : last; };
    int count = 0;
    out[count++] = (spike(0) + 1) * 1000 / (r.peak_ms(spike(0)) - r.peak_ms(0));
    for (int i = 0; i < bursts; ++i)
        if (const int spikes = spike(i + 1) - spike(i); spikes != 1)
            out[count++] = spikes * 1000 / (r.peak_ms(spike(i + 1)) - r.peak_ms(spike(i) + 1));
    return count;
}
DEVICE inline int strict_burst_mean_freq(Reading& r, double* out) {
    const List &begin = r.list(BURST_BEGINS), &end = r.list(BURST_ENDS);
    if (begin.status) return -begin.status;
    int count = 0;
    for (int i = 0; i < begin.count; ++i) {
        if (i >= end.count) return -BEYOND;
        if (const int gaps = end[i] - begin[i]; gaps > 0)
            out[count++] = (gaps + 1) * 1000 / (r.peak_ms(end[i]) - r.peak_ms(begin[i]));
    }
    return count ? count : -NOT_FOUND;
}
DEVICE inline int interburst_duration(Reading& r, double* out) {
    const List& end = r.list(BURST_ENDS);
    if (end.status) return -end.status;
    int count = 0;
    for (int i = 0; i < end.count; ++i)
        if (end[i] + 1 < r.peaks().count) out[count++] = r.peak_ms(end[i] + 1) - r.peak_ms(end[i]);
    return count ? count : -NOT_FOUND;
}

}  // namespace features
