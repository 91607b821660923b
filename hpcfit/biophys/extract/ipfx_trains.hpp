// When and how does the cell fire, in IPFX's definitions?  Landmarks of spikes, intervals, rates, pauses and bursts.
//
// A feature writes its values to out and returns how many there are, or minus a Reason.  Seconds, mV, V/s and Hz.
// Pauses and bursts: ipfx.spike_train_features.detect_pauses and detect_bursts.
#pragma once
#include "ipfx_spikes.hpp"

namespace ipfx {

using Feature = int (*)(Reading&, double*);
enum Read { TIME, VOLTAGE, SLOPE };

// Of the spikes for which it is defined; `whole`: without those that the end of the stimulus clips.
template <ListName which, Read read, bool whole>
int landmark(Reading& r, double* out) {
    if (r.spikes()) return -r.status;
    int count = 0;
    for (int i = 0; i < r.count; ++i) {
        const int k = r(which, i);
        if (k == NONE || (whole && r.clipped(i))) continue;
        out[count++] = read == TIME ? r.t(k) : read == VOLTAGE ? r.v[k] : r.slope(k);
    }
    return count ? count : -NOT_FOUND;
}
inline int upstroke_downstroke_ratio(Reading& r, double* out) {
    if (r.spikes()) return -r.status;
    int count = 0;
    for (int i = 0; i < r.count; ++i)
        if (!r.clipped(i)) out[count++] = r.slope(r(UPSTROKES, i)) / -r.slope(r(DOWNSTROKES, i));
    return count ? count : -NOT_FOUND;
}
// At half of the height over the fast trough; over the threshold, where that half is below the threshold.
inline int width(Reading& r, double* out) {
    if (r.spikes()) return -r.status;
    int count = 0;
    for (int i = 0; i < r.count; ++i) {
        const int spike = r(SPIKES, i), peak = r(PEAKS, i), trough = r(FAST, i);
        if (r.clipped(i)) continue;
        double level = (r.v[peak] - r.v[trough]) / 2. + r.v[trough];
        if (level < r.v[spike]) level = (r.v[peak] - r.v[spike]) / 2. + r.v[spike];
        int rise = peak, fall = peak;
        while (rise > spike && !(r.v[rise] <= level)) --rise;
        while (fall < trough && !(r.v[fall] <= level)) ++fall;
        if (rise > spike && fall < trough) out[count++] = r.t(fall) - r.t(rise);
    }
    return count ? count : -NOT_FOUND;
}

// Intervals between thresholds, into out; at least `fewest`.
inline int intervals(Reading& r, double* out, int fewest) {
    if (r.spikes()) return -r.status;
    for (int i = 0; i + 1 < r.count; ++i) out[i] = r.t(r(SPIKES, i + 1)) - r.t(r(SPIKES, i));
    return r.count - 1 < fewest ? -TOO_FEW : r.count - 1;
}
inline double mean_of(const double* x, int count) {
    return pairwise(0, count, [x](int i) { return x[i]; }) / count;
}
inline double deviation_of(const double* x, int count) {
    const double mean = mean_of(x, count);
    return std::sqrt(pairwise(0, count, [=](int i) { return (x[i] - mean) * (x[i] - mean); }) / count);
}
inline double least_of(const double* x, int count) {
    double least = x[0];
    for (int i = 1; i < count; ++i) least = x[i] < least ? x[i] : least;
    return least;
}
using Sorted = features::Reading;  // for its median, which sorts what it is given

inline int first_isi(Reading& r, double* out) {
    const int count = intervals(r, out, 1);
    return count < 0 ? count : 1;
}
inline int mean_isi(Reading& r, double* out) {
    const int count = intervals(r, out, 1);
    if (count < 0) return count;
    out[0] = mean_of(out, count);
    return 1;
}
inline int median_isi(Reading& r, double* out) {
    const int count = intervals(r, out, 1);
    if (count < 0) return count;
    out[0] = Sorted::median(out, count);
    return 1;
}
inline int isi_cv(Reading& r, double* out) {
    const int count = intervals(r, out, 1);
    if (count < 0) return count;
    out[0] = deviation_of(out, count) / mean_of(out, count);
    return 1;
}
inline int adapt(Reading& r, double* out) {
    const int count = intervals(r, out, 2);
    if (count < 0) return count;
    for (int i = 0; i + 1 < count; ++i) out[i] = (out[i + 1] - out[i]) / (out[i + 1] + out[i]);
    out[0] = mean_of(out, count - 1);
    return 1;
}
inline int latency(Reading& r, double* out) {
    if (r.spikes()) return -r.status;
    out[0] = r.t(r(SPIKES, 0)) - r.plan.start_s;
    return 1;
}
inline int avg_rate(Reading& r, double* out) {
    if (r.spikes() && r.status != NO_SPIKE) return -r.status;
    int inside = 0;
    for (int i = 0; i < r.count; ++i) inside += r.t(r(SPIKES, i)) >= r.plan.start_s && r.t(r(SPIKES, i)) <= r.plan.end_s;
    out[0] = inside / (r.plan.end_s - r.plan.start_s);
    return 1;
}

// Kinds of intervals: what follows the spike that begins them.
enum Kind { DIRECT = 0, WITH_DETOUR = 1, PAUSELIKE = 2, MIDBURST = 3 };

// Marks intervals as pauses, long ones or with a detour, as long as that makes the others more alike; returns how many.
// isi: (count); work: (2 count)
inline int find_pauses(const Reading& r, const double* isi, int count, bool* pause, double* work) {
    double *rest = work, *order = work + count;
    const auto kind = [&](int i) { return r(DETOUR, i); };
    int direct = 0, candidates = 0, found = 0;
    for (int i = 0; i < count; ++i) {
        pause[i] = false;
        if (kind(i) == DIRECT) rest[direct++] = isi[i];
    }
    if (direct == 0) return 0;
    const double limit = 3 * Sorted::median(rest, direct), all_cv = deviation_of(isi, count) / mean_of(isi, count);
    for (int i = 0; i < count; ++i)
        if (kind(i) == WITH_DETOUR) order[candidates++] = i;
    for (int i = 0; i < count; ++i)
        if (kind(i) == DIRECT && isi[i] > limit) order[candidates++] = i;
    double best = 0;
    for (; found < candidates; ++found) {
        pause[int(order[found])] = true;
        int others = 0;
        for (int i = 0; i < count; ++i)
            if (!pause[i]) rest[others++] = isi[i];
        double net = -INFINITY;
        if (others >= 2) {
            const double mean = mean_of(rest, others), deviation = deviation_of(rest, others);
            const auto cost = [&](int i) { return deviation / std::fabs(mean - isi[int(order[i])]); };
            net = all_cv - deviation / mean - pairwise(0, found + 1, cost) * r.plan.pause_cost;
        }
        if (others < 2 || (net > 0 && net < best)) {  // this one is none, and the search ends
            pause[int(order[found])] = false;
            break;
        }
        if (net > best) best = net;
    }
    if (best > 0) return found;
    for (int i = 0; i < count; ++i) pause[i] = false;
    return 0;
}
inline bool* flags_of(Reading& r) { return reinterpret_cast<bool*>(r.scratch.forward); }

template <bool fraction>
int pauses(Reading& r, double* out) {
    double* isi = r.scratch.work;
    const int count = intervals(r, isi, 0);
    if (count < 0) return count;
    bool* pause = flags_of(r);
    const int found = find_pauses(r, isi, count, pause, isi + count);
    double sum = 0;
    for (int i = 0; i < count; ++i) sum += pause[i] ? isi[i] : 0;
    out[0] = fraction ? sum / (r.plan.end_s - r.plan.start_s) : found;
    return 1;
}

}  // namespace ipfx
