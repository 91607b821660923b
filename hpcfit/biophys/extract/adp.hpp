// What lies between the valley after a spike and the next spike?  In eFEL's definitions.
#pragma once
#include "shape.hpp"

namespace features {

// The highest voltage between the first valley after a spike and the lowest voltage before the next one.
DEVICE inline int adp_peaks(Reading& r, double* out) {
    const List &valley = r.list(VALLEYS), &between = r.list(BETWEEN);
    if (valley.status) return -valley.status;
    if (between.status) return -between.status;
    if (valley.count > between.count) return -NOT_FOUND;
    for (int i = 0; i < valley.count; ++i) {
        if (valley[i] > between[i]) return -BEYOND;
        out[i] = r.at(valley[i] < between[i] ? r.highest(valley[i], between[i]) : between[i]);
    }
    return valley.count;
}
DEVICE inline int adp_amplitude(Reading& r, double* out) {
    const int count = adp_peaks(r, out);
    for (int i = 0; i < count; ++i) out[i] -= r.at(r.list(VALLEYS)[i]);
    return count;
}

// Where the second difference, twice the central one, is greatest in [begin, end], of equals the last.
DEVICE inline int sharpest(Reading& r, int begin, int end) {
    r.fill_range(begin, end + 1);
    const double dx = r.t(1) - r.t(0), *v = r.scratch.v_mV;
    const auto difference = [=](int k) {
        if (k == begin) return (v[k + 1] - v[k]) / dx;
        if (k == end) return (v[k] - v[k - 1]) / dx;
        return ((v[k + 1] - v[k - 1]) / 2) / dx;
    };
    double before = difference(begin), here = difference(begin + 1), most = (here - before) / dx;
    int found = begin;
    for (int k = begin + 1; k < end; ++k) {
        const double after = difference(k + 1), second = ((after - before) / 2) / dx;
        if (most <= second) most = second, found = k;
        before = here, here = after;
    }
    return most <= (here - before) / dx ? end : found;
}
// Width of the spikes but the first at half of their height over where the voltage bends up most, interpolated.
DEVICE inline int bend_width(Reading& r, double* out) {
    const List &valley = r.list(VALLEYS), &peak = r.peaks();
    if (valley.status) return -valley.status;
    if (peak.count <= 1) return -TOO_FEW;
    const double dx = r.t(1) - r.t(0);
    const int spikes = smaller(valley.count, peak.count - 1);
    for (int i = 0; i < spikes; ++i) {
        const int begin = valley[i], top = peak[i + 1];
        if (begin >= top) return -BEYOND;
        const int bend = sharpest(r, begin, top);
        const double half = (r.at(top) + r.at(bend)) / 2;
        int rise = r.first_above(begin, top + 1, just_above(half));
        if (rise > top) rise = bend;
        int fall = r.first_below(top, r.plan.count, just_below(half));
        if (fall == r.plan.count) fall = rise;
        if (rise < 1 || fall < 1) return -BEYOND;
        const auto crossing = [&](int k) {
            return r.t(k - 1) + ((half - r.at(k - 1)) / (r.at(k) - r.at(k - 1))) * dx;
        };
        out[i] = crossing(fall) - crossing(rise);
    }
    return spikes;
}

}  // namespace features
