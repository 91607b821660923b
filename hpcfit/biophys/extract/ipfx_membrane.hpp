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

// y0 + a exp(-k t) by least squares (Levenberg 1944, Marquardt 1963), from a guess; false when it does not settle.
struct Exponential {
    double a, k, y0;
};
template <class T, class V>
double squares(const Exponential& e, int count, T t, V v) {
    double sum = 0;
    for (int i = 0; i < count; ++i) {
        const double off = e.y0 + e.a * std::exp(-e.k * t(i)) - v(i);
        sum += off * off;
    }
    return sum;
}
// Solves the symmetric equations h x = g of order 3 by elimination; h is damped, so that pivots are positive.
inline void solve3(double (&h)[3][3], double (&g)[3]) {
    for (int i = 0; i < 3; ++i)
        for (int j = i + 1; j < 3; ++j) {
            const double f = h[j][i] / h[i][i];
            for (int c = i; c < 3; ++c) h[j][c] -= f * h[i][c];
            g[j] -= f * g[i];
        }
    for (int i = 2; i >= 0; --i) {
        for (int c = i + 1; c < 3; ++c) g[i] -= h[i][c] * g[c];
        g[i] /= h[i][i];
    }
}
template <class T, class V>
bool fit_exponential(Exponential& e, double& sum, int count, T t, V v) {
    constexpr int MOST = 800;  // evaluations, as scipy's
    constexpr double SETTLED = 1e-11;
    double damping = 1e-3;
    sum = squares(e, count, t, v);
    for (int tries = 0; tries < MOST;) {
        double normal[3][3] = {}, gradient[3] = {};
        for (int i = 0; i < count; ++i) {
            const double x = std::exp(-e.k * t(i)), off = v(i) - e.y0 - e.a * x, d[3] = {x, -e.a * t(i) * x, 1};
            for (int p = 0; p < 3; ++p) {
                gradient[p] += d[p] * off;
                for (int q = 0; q < 3; ++q) normal[p][q] += d[p] * d[q];
            }
        }
        for (bool better = false; !better; ++tries) {
            if (tries == MOST || damping > 1e16) return damping > 1e16;  // no step betters it: it is the least
            double h[3][3], step[3];
            for (int p = 0; p < 3; ++p) {
                step[p] = gradient[p];
                for (int q = 0; q < 3; ++q) h[p][q] = normal[p][q];
                h[p][p] = normal[p][p] * (1 + damping) + 1e-300;
            }
            solve3(h, step);
            const Exponential next{e.a + step[0], e.k + step[1], e.y0 + step[2]};
            const double after = squares(next, count, t, v);
            better = after <= sum;
            if (better) {
                const bool settled = std::fabs(step[0]) <= SETTLED * std::fabs(next.a) &&
                                     std::fabs(step[1]) <= SETTLED * std::fabs(next.k);
                e = next, sum = after, damping *= 0.1;
                if (settled) return true;
            } else {
                damping *= 10;
            }
        }
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
    Exponential fit{r.v[from] - r.v[low], RATE, r.v[low]};
    double sum;
    const int count = low - from;
    const auto t = [&](int i) { return r.t(from + i) - r.t(from); };
    const auto v = [&](int i) { return r.v[from + i]; };
    if (!fit_exponential(fit, sum, count, t, v) || std::sqrt(sum / count) > MOST_RMSE_MV) return -NOT_FOUND;
    out[0] = 1. / fit.k;
    return 1;
}

}  // namespace ipfx
