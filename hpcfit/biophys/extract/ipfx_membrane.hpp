// What does the membrane do without spikes, in IPFX's definitions?  ipfx.subthresh_features.
#pragma once
#include "ipfx_bursts.hpp"

namespace ipfx {

inline int mean_between(const Reading& r, int begin, int end, double* out) {
    if (begin < 0 || end < 0 || begin >= end) return -OUTSIDE;
    out[0] = r.mean(begin, end);
    return 1;
}
inline int v_baseline(Reading& r, double* out) { return mean_between(r, r.plan.base_begin, r.plan.start, out); }

inline bool stimulus_samples(const Reading& r) { return r.plan.start >= 0 && r.plan.end > r.plan.start; }

// The highest voltage of a depolarising step, else the lowest.
inline int peak_deflect(Reading& r, double* out) {
    if (!stimulus_samples(r)) return -OUTSIDE;
    const bool up = r.plan.amplitude_nA >= 0;
    out[0] = r.v[up ? r.highest(r.plan.start, r.plan.end) : r.lowest(r.plan.start, r.plan.end)];
    return 1;
}
inline int sag(Reading& r, double* out) {
    if (!stimulus_samples(r)) return -OUTSIDE;
    const double peak_s = r.t(r.lowest(r.plan.start, r.plan.end)), half_s = r.plan.half_peak_width_s;
    double peak, base, steady;
    if (const int status = mean_between(r, r.at_time(peak_s - half_s), r.at_time(peak_s + half_s), &peak); status < 0)
        return status;
    if (const int status = mean_between(r, r.plan.sag_base_begin, r.plan.start, &base); status < 0) return status;
    if (const int status = mean_between(r, r.plan.steady_begin, r.plan.end, &steady); status < 0) return status;
    out[0] = (peak - steady) / (peak - base);
    return std::isnan(out[0]) ? -NOT_A_NUMBER : 1;
}
// Of one sweep: the lowest voltage against the baseline, MOhm.
inline int input_resistance(Reading& r, double* out) {
    double base;
    if (!stimulus_samples(r)) return -OUTSIDE;
    if (const int status = v_baseline(r, &base); status < 0) return status;
    if (std::isnan(r.plan.amplitude_nA)) return -NO_STIMULUS;
    if (r.plan.amplitude_nA == 0) return -NOT_FOUND;
    out[0] = (r.v[r.lowest(r.plan.start, r.plan.end)] - base) / r.plan.amplitude_nA;
    return 1;
}

// y0 + a exp(-k t) by least squares: for a rate k, a and y0 follow (variable projection, Golub and Pereyra 1973), so
// that one unknown is left.  It is also found where the exponential bends so little that a, k and y0 nearly trade off.
struct Projection {
    double squares;  // their sum, of what is left of v
    double step;     // of Gauss and Newton, to a better k (Kaufman 1975)
};
// bend: (count), for exp(-k t) - 1
template <class T, class V>
Projection project(double k, int count, T t, V v, double* bend) {
    double bend_mean = 0, v_mean = 0, change_mean = 0;
    const auto change = [&](int i, double x) { return t(i) * (x + 1); };  // of -exp(-k t) with k
    for (int i = 0; i < count; ++i) {
        bend[i] = std::expm1(-k * t(i));
        bend_mean += bend[i] / count, v_mean += v(i) / count, change_mean += change(i, bend[i]) / count;
    }
    double squared = 0, with_v = 0, with_change = 0;
    for (int i = 0; i < count; ++i) {
        const double x = bend[i] - bend_mean;
        squared += x * x, with_v += x * (v(i) - v_mean), with_change += x * (change(i, bend[i]) - change_mean);
    }
    const double a = with_v / squared, share = with_change / squared;
    double left = 0, free = 0, both = 0;
    for (int i = 0; i < count; ++i) {
        const double x = bend[i] - bend_mean;
        const double off = (v(i) - v_mean) - a * x, turn = (change(i, bend[i]) - change_mean) - share * x;
        left += off * off, free += turn * turn, both += turn * off;
    }
    return {left, -both / (a * free)};
}
// From a guess of k to the least sum of squares nearby; false when there is none.
template <class T, class V>
bool fit_rate(double& k, double& squares, int count, T t, V v, double* work) {
    constexpr int MOST = 800;  // evaluations, as scipy's
    constexpr double SETTLED = 1e-12, SMALL = 1e-6, ROUNDING = 1e-11;
    Projection here = project(k, count, t, v, work);
    double last = INFINITY;
    for (int tries = 0; tries < MOST;) {
        double step = here.step;
        if (!std::isfinite(step)) return false;
        Projection there;
        for (;; step /= 2) {
            there = project(k + step, count, t, v, work);
            ++tries;
            if (there.squares <= (1 + ROUNDING) * here.squares) break;
            squares = here.squares;
            if (std::fabs(step) <= SETTLED * std::fabs(k)) return true;  // no step betters it: it is the least
        }
        k += step, here = there, squares = here.squares;
        // Near the least, sums differ by their rounding only, while steps shrink until they are rounding too.
        const double size = std::fabs(step / k);
        if (size <= SETTLED || (size < SMALL && size >= last)) return true;
        last = size;
    }
    return false;
}

// Membrane time constant, s: an exponential from where a tenth of the fall is reached to the lowest voltage.
inline int tau(Reading& r, double* out) {
    constexpr double FRACTION = 0.1, LEAST_SNR = 20, RATE = 50, MOST_RMSE_MV = 1;
    const Plan& plan = r.plan;
    double base;
    if (!stimulus_samples(r)) return -OUTSIDE;
    if (const int status = v_baseline(r, &base); status < 0) return status;
    const int low = r.lowest(plan.start, plan.end);
    double squared = 0;
    for (int k = plan.base_begin; k < plan.start; ++k) squared += (r.v[k] - base) * (r.v[k] - base);
    const double noise = std::sqrt(squared / (plan.start - plan.base_begin));
    if (noise != 0 && std::fabs(base - r.v[low]) / noise < LEAST_SNR) return -NOT_FOUND;
    const double level = FRACTION * (r.v[low] - base) + base;
    int from = plan.start;
    while (from < plan.count && !(r.v[from] <= level)) ++from;
    if (from == plan.count || low - from < 3) return from == plan.count ? -NOT_FOUND : -TOO_FEW;
    double rate = RATE, squares;
    const int count = low - from;
    const auto t = [&](int i) { return r.t(from + i) - r.t(from); };
    const auto v = [&](int i) { return r.v[from + i]; };
    if (!fit_rate(rate, squares, count, t, v, r.scratch.work)) return -NOT_FOUND;
    if (std::sqrt(squares / count) > MOST_RMSE_MV) return -NOT_FOUND;
    out[0] = 1. / rate;
    return 1;
}

}  // namespace ipfx
