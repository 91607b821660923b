// Is the cell in depolarisation block?  In eFEL's definition.
#pragma once
#include "shape.hpp"

namespace features {

// The next grid sample at which the voltage is on the other side of a level than it is at k, else plan.count.
DEVICE inline int next_crossing(Reading& r, int k, double level) {
    return r.at(k) > level ? r.first_below(k, r.plan.count, level)
                           : r.first_above(k, r.plan.count, just_above(level));
}
// Longest time from a rise through a level to the fall of the same rank: the next one, or the end of the stimulus; of a
// trace that begins above it, the fall before.  NaN when the voltage never rises through it.
DEVICE inline double longest_above(Reading& r, double level) {
    const int count = r.plan.count;
    const bool begins_above = r.at(0) > level;
    double longest = NAN;
    int fall = begins_above ? next_crossing(r, 0, level) : 0;
    for (int k = fall; k < count; k = fall) {
        const int rise = next_crossing(r, k, level);
        if (rise >= count) break;
        const int next = next_crossing(r, rise, level);
        const int paired = begins_above ? fall - 1 : next < count ? next - 1 : r.plan.end;
        const double length = r.t(paired) - r.t(rise - 1);
        if (!(longest >= length)) longest = length;
        fall = next;
    }
    return longest;
}
// Longest time below a level that begins inside the stimulus; it lasts until the stimulus ends at the most.
DEVICE inline double longest_below(Reading& r, double level) {
    const int start = r.plan.start, end = r.plan.end;
    double longest = 0;
    for (int k = start + 1; k < end;) {
        if (!(r.at(k) > level)) k = next_crossing(r, k, level);
        if (k >= end) break;
        const int fall = next_crossing(r, k, level);
        if (fall - 1 >= end || fall >= r.plan.count) break;
        const int rise = next_crossing(r, fall, level);
        const double length = r.t(rise - 1 < end ? rise - 1 : end) - r.t(fall - 1);
        if (length > longest) longest = length;
        k = rise;
    }
    return longest;
}
// 1 when there is none; NOT_FOUND when there is, or when the voltage never rises to where spikes begin.
DEVICE inline int no_block(Reading& r, double* out) {
    const double DEEP_MV = -75;
    if (r.plan.start >= r.plan.count || r.plan.end >= r.plan.count) return -OUTSIDE;
    const int spikes = mean_of<voltage_at<BEGINS>>(r, out);
    if (spikes == -BEYOND) return -BEYOND;
    if (spikes > 0) {
        const double longest = longest_above(r, out[0]);
        if (!(longest <= r.plan.least_block_ms)) return -NOT_FOUND;
        if (longest_below(r, DEEP_MV) > r.plan.least_block_ms) return -NOT_FOUND;
    }
    out[0] = 1;
    return 1;
}
DEVICE inline int is_block(Reading& r, double* out) {
    const int found = no_block(r, out);
    if (found < 0 && found != -NOT_FOUND) return found;
    out[0] = found < 0;
    return 1;
}

}  // namespace features
