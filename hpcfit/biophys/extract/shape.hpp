// What do the spikes look like?  Heights, widths, slopes and afterhyperpolarisations, in eFEL's definitions.
#pragma once
#include "subthreshold.hpp"

namespace features {

template <Landmark which>
DEVICE int voltage_at(Reading& r, double* out) {
    const List& found = r.list(which);
    if (found.status) return -found.status;
    for (int i = 0; i < found.count; ++i) out[i] = r.at(found[i]);
    return found.count;
}
DEVICE inline int begin_time(Reading& r, double* out) {
    const List& begin = r.list(BEGINS);
    for (int i = 0; i < begin.count; ++i) out[i] = r.t(begin[i]);
    return begin.status ? -begin.status : begin.count;
}
// Peak k's rank among peaks after a grid sample, or after the start of the stimulus.
DEVICE inline int peaks_after(Reading& r, int sample) {
    const List& peak = r.peaks();
    int skip = 0;
    while (skip < peak.count && peak[skip] <= sample) ++skip;
    return skip;
}
DEVICE inline int peaks_after_start(Reading& r) {
    const List& peak = r.peaks();
    int skip = 0;
    while (skip < peak.count && !(r.peak_ms(skip) > r.plan.start_ms)) ++skip;
    return skip;
}

// Height of the spikes inside the stimulus over the voltage at which they begin.
DEVICE inline int amplitude(Reading& r, double* out) {
    const List &begin = r.list(BEGINS), &peak = r.peaks();
    if (begin.status) return -begin.status;
    int count = 0;
    for (int i = 0; i < peak.count; ++i) {
        if (!inside(r, r.peak_ms(i))) continue;
        if (count == begin.count) return -TOO_FEW;
        out[count] = r.at(peak[i]) - r.at(begin[count]);
        ++count;
    }
    return count ? count : -NOT_FOUND;
}
template <Feature whole>
DEVICE int above_base(Reading& r, double* out) {
    double base;
    if (const int status = voltage_base(r, &base); status < 0) return status;
    const int count = whole(r, out);
    for (int i = 0; i < count; ++i) out[i] -= base;
    return count;
}
DEVICE inline int max_amp_difference(Reading& r, double* out) {
    const int count = negative<differences<voltage_at<PEAKS>>>(r, out);
    for (int i = 1; i < count; ++i)
        if (out[0] < out[i]) out[0] = out[i];
    return count < 0 ? count : 1;
}
DEVICE inline int drop_first_last(Reading& r, double* out) {
    const List& peak = r.peaks();
    if (peak.status) return -peak.status;
    if (peak.count < 2) return -TOO_FEW;
    out[0] = r.at(peak[0]) - r.at(peak[peak.count - 1]);
    return 1;
}
DEVICE inline int drop_second_last(Reading& r, double* out) {
    const List& peak = r.peaks();
    if (peak.status) return -peak.status;
    if (peak.count < 3) return -TOO_FEW;
    out[0] = r.at(peak[1]) - r.at(peak[peak.count - 1]);
    return 1;
}
DEVICE inline int slow_time(Reading& r, double* out) {
    const List &slow = r.list(SLOW), &peak = r.peaks();
    if (slow.status) return -slow.status;
    for (int i = 0; i < slow.count; ++i)
        out[i] = (r.t(slow[i]) - r.t(peak[i + 1])) / (r.t(peak[i + 2]) - r.t(peak[i + 1]));
    return slow.count;
}
DEVICE inline int fast_ahp(Reading& r, double* out) {
    const List &begin = r.list(BEGINS), &valley = r.list(VALLEYS);
    if (begin.status) return -begin.status;
    if (valley.status) return -valley.status;
    if (begin.count < 2) return -TOO_FEW;
    for (int i = 0; i + 1 < begin.count; ++i) {
        if (i >= valley.count) return -BEYOND;
        out[i] = r.at(begin[i]) - r.at(valley[i]);
    }
    return begin.count - 1;
}
DEVICE inline int ahp_depth_from_peak(Reading& r, double* out) {
    const List& valley = r.list(VALLEYS);
    if (valley.status) return -valley.status;
    for (int i = 0; i < valley.count; ++i) out[i] = r.at(r.peaks()[i]) - r.at(valley[i]);
    return valley.count;
}
DEVICE inline int ahp_time_from_peak(Reading& r, double* out) {
    const List& valley = r.list(VALLEYS);
    if (valley.status) return -valley.status;
    for (int i = 0; i < valley.count; ++i) out[i] = r.t(valley[i]) - r.t(r.peaks()[i]);
    return valley.count;
}
DEVICE inline int min_voltage_between_spikes(Reading& r, double* out) {
    const List& peak = r.peaks();
    if (peak.status) return -peak.status;
    if (peak.count < 2) return -TOO_FEW;
    for (int i = 0; i + 1 < peak.count; ++i) out[i] = r.at(r.lowest(peak[i], peak[i + 1]));
    return peak.count - 1;
}
// The mean voltage from one spike's end to the next one's begin.
DEVICE inline int depolarized_base(Reading& r, double* out) {
    const List &begin = r.list(BEGINS), &end = r.list(ENDS);
    if (begin.status) return -begin.status;
    if (end.status) return -end.status;
    const int pairs = smaller(begin.count, end.count);
    if (pairs < 3) return -TOO_FEW;
    int count = 0;
    for (int i = 0; i + 1 < pairs; ++i) {
        double sum = 0;
        for (int k = end[i]; k < begin[i + 1]; ++k) sum += r.at(k);
        if (begin[i + 1] > end[i]) out[count++] = sum / (begin[i + 1] - end[i]);
    }
    return count ? count : -NOT_FOUND;
}

DEVICE inline int duration(Reading& r, double* out) {
    const List &begin = r.list(BEGINS), &end = r.list(ENDS);
    if (begin.status) return -begin.status;
    if (end.status) return -end.status;
    const int count = smaller(begin.count, end.count);
    for (int i = 0; i < count; ++i) out[i] = r.t(end[i]) - r.t(begin[i]);
    return count;
}
DEVICE inline int duration_half_width(Reading& r, double* out) {
    const List &rise = r.list(RISES), &fall = r.list(FALLS);
    if (rise.status) return -rise.status;
    if (fall.status) return -fall.status;
    for (int i = 0; i < rise.count; ++i) out[i] = r.t(fall[i]) - r.t(rise[i]);
    return rise.count;
}
// Time above the threshold between one valley and the next.
DEVICE inline int width(Reading& r, double* out) {
    const List& valley = r.list(VALLEYS);
    if (valley.status) return -valley.status;
    const double threshold = r.plan.threshold_mV;
    const bool strict = r.plan.strict;
    int from = strict ? r.plan.start : 0, count = 0;
    for (int i = 0; i < valley.count; ++i) {
        if (strict && !(r.plan.start < valley[i] && valley[i] < r.plan.end)) continue;
        const int onset = r.first_above(from, valley[i], threshold);
        const int end = r.first_below(onset, valley[i], threshold);
        out[count++] = r.t(end) - r.t(onset);
        from = valley[i];
    }
    return count ? count : -NOT_FOUND;
}
DEVICE inline int width_between_threshold(Reading& r, double* out) {
    const List& between = r.list(BETWEEN);
    if (between.status) return -between.status;
    const double threshold = r.plan.threshold_mV;
    int from = r.plan.start, count = 0;
    for (int i = 0; i < between.count; ++i) {
        const bool ahead = between[i] > from;
        const int onset = ahead ? r.first_above(from, between[i], threshold) : between[i];
        const int end = r.first_below(onset, between[i], threshold);
        if (end != between[i]) out[count++] = r.t(end) - r.t(onset);
        from = between[i];
    }
    return count ? count : -NOT_FOUND;
}
// Width at half of the height over the valley, interpolated within the sample.
DEVICE inline int half_width(Reading& r, double* out) {
    const List &valley = r.list(VALLEYS), &peak = r.peaks();
    if (valley.status) return -valley.status;
    for (int i = 0; i < valley.count; ++i) {
        const double half = (r.at(peak[i]) + r.at(valley[i])) / 2.;
        const int from = i ? valley[i - 1] : r.plan.start;
        const int rise = from < peak[i] ? r.first_above(from, peak[i], half) : peak[i];
        const int fall = r.first_below(peak[i], valley[i], half);
        if (rise < 1 || fall < 1) return -BEYOND;
        const double up = (r.t(rise) - r.t(rise - 1)) * (half - r.at(rise)) / (r.at(rise) - r.at(rise - 1));
        const double down = (r.t(fall) - r.t(fall - 1)) * (half - r.at(fall)) / (r.at(fall) - r.at(fall - 1));
        out[i] = r.t(fall) - up - r.t(rise) + down;
    }
    return valley.count;
}
DEVICE inline int begin_width(Reading& r, double* out) {
    const List &begin = r.list(BEGINS), &valley = r.list(VALLEYS);
    if (begin.status) return -begin.status;
    if (valley.status) return -valley.status;
    int count = 0;
    for (int i = 0; i < valley.count; ++i) {
        if (valley[i] <= r.plan.start) continue;
        if (count == begin.count) return -TOO_FEW;
        const double v = r.at(begin[count]);
        const int from = begin[count] + 1;
        const int fall = from < valley[i] ? r.first_below(from, valley[i], v) : valley[i];
        out[count] = r.t(fall) - r.t(begin[count]);
        ++count;
    }
    return count ? count : -NOT_FOUND;
}
DEVICE inline int rise_time(Reading& r, double* out) {
    const List &begin = r.list(BEGINS), &peak = r.peaks();
    if (begin.status) return -begin.status;
    const int count = smaller(begin.count, peak.count), skip = peaks_after(r, begin[0]);
    for (int i = 0; i < count; ++i) {
        if (skip + i >= peak.count) return -BEYOND;
        const int top = peak[skip + i];
        const double low = r.at(begin[i]), height = r.at(top) - low;
        int from = begin[i], to = top;
        while (from < top && r.at(from) < low + r.plan.rise_begin * height - 1e-13) ++from;
        while (to > begin[i] && r.at(to) > low + r.plan.rise_end * height + 1e-13) --to;
        out[i] = r.t(to) - r.t(from);
    }
    return count;
}
DEVICE inline int rise_rate(Reading& r, double* out) {
    const List &begin = r.list(BEGINS), &peak = r.peaks();
    if (begin.status) return -begin.status;
    const int count = smaller(begin.count, peak.count), skip = peaks_after(r, begin[0]);
    for (int i = 0; i < count; ++i) {
        if (skip + i >= peak.count) return -BEYOND;
        const int top = peak[skip + i];
        out[i] = (r.at(top) - r.at(begin[i])) / (r.t(top) - r.t(begin[i]));
    }
    return count;
}
DEVICE inline int fall_time(Reading& r, double* out) {
    const List &end = r.list(ENDS), &peak = r.peaks();
    if (end.status) return -end.status;
    const int count = smaller(end.count, peak.count), skip = peaks_after_start(r);
    for (int i = 0; i < count; ++i) {
        if (skip + i >= peak.count) return -BEYOND;
        out[i] = r.t(end[i]) - r.t(peak[skip + i]);
    }
    return count;
}
DEVICE inline int fall_rate(Reading& r, double* out) {
    const List &end = r.list(ENDS), &peak = r.peaks();
    if (end.status) return -end.status;
    const int count = smaller(end.count, peak.count), skip = peaks_after_start(r);
    for (int i = 0; i < count; ++i) {
        if (skip + i >= peak.count) return -BEYOND;
        const int top = peak[skip + i];
        out[i] = (r.at(end[i]) - r.at(top)) / (r.t(end[i]) - r.t(top));
    }
    return count;
}
// The steepest slope from begin to peak, where each begin has a peak after it.
DEVICE inline int peak_upstroke(Reading& r, double* out) {
    const List &begin = r.list(BEGINS), &peak = r.peaks();
    if (begin.status) return -begin.status;
    int count = 0;
    for (int i = 0, j = 0; i < begin.count; ++i) {
        while (j < peak.count && peak[j] < begin[i]) ++j;
        if (j == peak.count) break;
        double most = r.slope(begin[count]);
        for (int k = begin[count] + 1; k < peak[j]; ++k)
            if (const double s = r.slope(k); most < s) most = s;
        out[count++] = most;
        ++j;
    }
    return count ? count : -NOT_FOUND;
}
DEVICE inline int peak_downstroke(Reading& r, double* out) {
    const List &valley = r.list(VALLEYS), &peak = r.peaks();
    if (valley.status) return -valley.status;
    for (int i = 0; i < valley.count; ++i) {
        if (valley[i] < peak[i]) return -BEYOND;
        out[i] = r.slope(valley[i] == peak[i] ? peak[i] : r.steepest_fall(peak[i], valley[i]));
    }
    return valley.count;
}
DEVICE inline int phaseslope(Reading& r, double* out) {
    const List& begin = r.list(BEGINS);
    if (begin.status) return -begin.status;
    for (int i = 0; i < begin.count; ++i) {
        const int low = begin[i] - r.plan.phaseslope_range, high = begin[i] + r.plan.phaseslope_range;
        if (low < 0 || high > r.plan.count) return -OUTSIDE;
        if (high == r.plan.count) return -BEYOND;
        const double rise = r.at(high) - r.at(low);
        if (rise == 0) return -NOT_FOUND;
        out[i] = (r.slope(high) - r.slope(low)) / rise;
    }
    return begin.count;
}
// The lowest voltage after the burst that a trace starts with.
DEVICE inline int initburst_sahp(Reading& r, double* out) {
    const List& peak = r.peaks();
    if (peak.status) return -peak.status;
    if (peak.count < 2) return -TOO_FEW;
    int last = 0;
    while (last + 1 < peak.count && !(1000.0 / (r.peak_ms(last + 1) - r.peak_ms(last)) < r.plan.initburst_hz)) ++last;
    if (last == 0) return -NOT_FOUND;
    const double from = std::fmin(r.peak_ms(last) + r.plan.initburst_begin_ms, r.plan.end_ms);
    double to = std::fmin(r.peak_ms(last) + r.plan.initburst_end_ms, r.plan.end_ms);
    if (last + 1 < peak.count) to = std::fmin(to, r.peak_ms(last + 1));
    if (to <= from) return -NOT_FOUND;
    int begin = peak[last], end;
    while (begin > 0 && r.t(begin - 1) >= from) --begin;
    while (begin < r.plan.count && r.t(begin) < from) ++begin;
    for (end = begin; end < r.plan.count && r.t(end) <= to; ++end) {}
    if (begin == end) return -OUTSIDE;
    out[0] = r.at(r.lowest(begin, end));
    return 1;
}

}  // namespace features
