// How are bursts made up, and what else of eFEL's is written in Python?
#pragma once
#include "shape.hpp"

namespace features {

DEVICE inline int initburst_sahp_ssse(Reading& r, double* out) {
    double end;
    if (const int status = stimulus_end_voltage(r, &end); status < 0) return status;
    const int count = initburst_sahp(r, out);
    for (int i = 0; i < count; ++i) out[i] -= end;
    return count;
}
DEVICE inline int phaseslope_max(Reading& r, double* out) {
    if (r.plan.count < 2) return -OUTSIDE;
    out[0] = -INFINITY;
    for (int k = 0; k + 1 < r.plan.count; ++k)
        if (const double s = (r.at(k + 1) - r.at(k)) / (r.t(k + 1) - r.t(k)); s > out[0]) out[0] = s;
    return 1;
}
DEVICE inline int spikes_per_burst(Reading& r, double* out) {
    const List &begin = r.list(BURST_BEGINS), &end = r.list(BURST_ENDS);
    if (begin.status) return -begin.status;
    const int count = smaller(begin.count, end.count);
    for (int i = 0; i < count; ++i) out[i] = end[i] - begin[i] + 1;
    return count ? count : -NOT_FOUND;
}
DEVICE inline int burst_first_last(Reading& r, double* out) {
    const int count = spikes_per_burst(r, out);
    if (count < 0) return count;
    if (count < 2) return -TOO_FEW;
    out[0] -= out[count - 1];
    return 1;
}

}  // namespace features
