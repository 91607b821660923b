// What does the voltage do between spikes and without them?  Means, deflections, sag and decay, in eFEL's definitions.
#pragma once
#include "events.hpp"

namespace features {

DEVICE inline int mean_over(Reading& r, const Stretch& s, double* out) {
    if (s.end <= s.begin) return -OUTSIDE;
    out[0] = r.mean(s);
    return 1;
}
DEVICE inline int voltage_base(Reading& r, double* out) {
    if (!r.plan.base_defined) return -OUTSIDE;
    const Stretch& s = r.plan.base;
    if (!r.plan.median_base) return mean_over(r, s, out);
    if (s.end <= s.begin) return -OUTSIDE;
    for (int k = s.begin; k < s.end; ++k) r.scratch.work[k - s.begin] = r.at(k);
    out[0] = Reading::median(r.scratch.work, s.end - s.begin);
    return 1;
}
DEVICE inline int stimulus_end_voltage(Reading& r, double* out) { return mean_over(r, r.plan.stimulus_end, out); }
DEVICE inline int steady_state_voltage(Reading& r, double* out) {
    return r.plan.after_end == 0 ? -BEYOND : mean_over(r, r.plan.after, out);  // counted down, past the first sample
}
DEVICE inline int steady_state_hyper(Reading& r, double* out) { return mean_over(r, r.plan.hyper, out); }
DEVICE inline int voltage_after_stim(Reading& r, double* out) { return mean_over(r, r.plan.rest, out); }

DEVICE inline int deflection(Reading& r, double* out) {
    double base, end;
    if (const int status = voltage_base(r, &base); status < 0) return status;
    if (const int status = stimulus_end_voltage(r, &end); status < 0) return status;
    out[0] = end - base;
    // Its sign decides whether there is a sag: of a trace without response, that is a matter of rounding.
    if (std::fabs(out[0]) < 1e-9 * (1 + std::fabs(base))) {
        if (!r.plan.median_base) base = r.mean_in_order(r.plan.base);
        out[0] = r.mean_in_order(r.plan.stimulus_end) - base;
    }
    return 1;
}
DEVICE inline int deflection_early(Reading& r, double* out) {
    const Stretch &base = r.plan.begin_base, &range = r.plan.begin_range;
    if (base.end <= base.begin || range.end <= range.begin) return -OUTSIDE;
    out[0] = r.mean(range) - r.mean(base);
    return 1;
}
// Five samples shortly before the end of the stimulus against all before its start.
DEVICE inline int voltage_deflection(Reading& r, double* out) {
    const Stretch &base = r.plan.begin_base, &range = r.plan.deflection_base;
    if (base.end <= base.begin || range.end <= range.begin) return -OUTSIDE;
    out[0] = r.mean(range) - r.mean(base);
    return 1;
}
template <Feature volts>
DEVICE int resistance(Reading& r, double* out) {
    if (const int status = volts(r, out); status < 0) return status;
    if (std::isnan(r.plan.amplitude_nA)) return -NO_STIMULUS;
    if (r.plan.amplitude_nA == 0) return -NOT_FOUND;
    out[0] /= r.plan.amplitude_nA;
    return 1;
}
// The stimulus, or what the trace has of it; at least one sample.
DEVICE inline bool stimulus_samples(Reading& r, int& begin, int& end) {
    const Plan& plan = r.plan;
    if (plan.start >= plan.count) return false;
    begin = plan.start;
    end = plan.end < plan.count ? plan.end : plan.count - 1;
    if (end <= begin) end = begin + 1;
    return true;
}
DEVICE inline int minimum_voltage(Reading& r, double* out) {
    int begin, end;
    if (!stimulus_samples(r, begin, end)) return -OUTSIDE;
    out[0] = r.at(r.lowest(begin, end));
    return 1;
}
DEVICE inline int maximum_voltage(Reading& r, double* out) {
    int begin, end;
    if (!stimulus_samples(r, begin, end)) return -OUTSIDE;
    out[0] = r.at(r.highest(begin, end));
    return 1;
}
DEVICE inline int maximum_voltage_from_voltagebase(Reading& r, double* out) {
    double base;
    if (const int status = voltage_base(r, &base); status < 0) return status;
    if (const int status = maximum_voltage(r, out); status < 0) return status;
    out[0] -= base;
    return 1;
}
DEVICE inline int sag_amplitude(Reading& r, double* out) {
    double bottom;
    if (const int status = minimum_voltage(r, &bottom); status < 0) return status;
    if (const int status = deflection(r, out); status < 0) return status;
    if (!(out[0] <= 0)) return -NOT_FOUND;
    stimulus_end_voltage(r, out);
    out[0] -= bottom;
    return 1;
}
// voltage_base - minimum_voltage, which divides: NOT_FOUND when it is exactly 0.
DEVICE inline int drop(Reading& r, double* out) {
    double bottom;
    if (const int status = minimum_voltage(r, &bottom); status < 0) return status;
    if (const int status = voltage_base(r, out); status < 0) return status;
    out[0] -= bottom;
    if (std::fabs(out[0]) < 1e-9 * (1 + std::fabs(bottom)) && !r.plan.median_base)
        out[0] = r.mean_in_order(r.plan.base) - bottom;
    return out[0] == 0 ? -NOT_FOUND : 1;
}
DEVICE inline int sag_ratio1(Reading& r, double* out) {
    double sag, depth;
    if (const int status = sag_amplitude(r, &sag); status < 0) return status;
    if (const int status = drop(r, &depth); status < 0) return status;
    out[0] = sag / depth;
    return 1;
}
DEVICE inline int sag_ratio2(Reading& r, double* out) {
    double end, base, depth;
    if (const int status = stimulus_end_voltage(r, &end); status < 0) return status;
    if (const int status = voltage_base(r, &base); status < 0) return status;
    if (const int status = drop(r, &depth); status < 0) return status;
    out[0] = (base - end) / depth;
    return 1;
}

// Least squares line through (x, y): its slope, and the sum of squared residuals over the squared range of y.
struct Line {
    double slope, residual;
};
template <class X, class Y>
DEVICE Line line(int count, X x, Y y, bool residual) {
    double sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (int i = 0; i < count; ++i) sx += x(i), sy += y(i), sxx += x(i) * x(i), sxy += x(i) * y(i);
    const double slope = (count * sxy - sx * sy) / (count * sxx - sx * sx);
    if (!residual) return {slope, 0};
    const double intercept = (sy - slope * sx) / count;
    double squares = 0, low = y(0), high = y(0);
    for (int i = 0; i < count; ++i) {
        const double off = y(i) - intercept - slope * x(i);
        squares += off * off;
        low = y(i) < low ? y(i) : low;
        high = high < y(i) ? y(i) : high;
    }
    return {slope, squares / ((high - low) * (high - low))};
}
// Of the decay to the voltage at a grid sample, in a stretch of them.
DEVICE inline double decay_time(Reading& r, int reference, int begin, int count) {
    const double reference_mV = r.at(reference);
    double* y = r.scratch.work;
    for (int i = 0; i < count; ++i) y[i] = std::log(std::fabs(r.at(begin + i) - reference_mV));
    const Line fit = line(count, [&](int i) { return r.t(begin + i); }, [&](int i) { return y[i]; }, false);
    return std::fabs(-1.0 / fit.slope);
}
DEVICE inline int decay_time_constant(Reading& r, double* out) {
    const int begin = r.plan.decay_begin, count = r.plan.decay_end - begin;
    if (r.plan.start >= r.plan.count || count < 1) return -OUTSIDE;
    out[0] = decay_time(r, r.plan.start, begin, count);
    return 1;
}
// From the lowest voltage back to where nine tenths of the sag are gone.
DEVICE inline int sag_time_constant(Reading& r, double* out) {
    double bottom, end_mV, sag;
    if (const int status = sag_amplitude(r, &sag); status < 0) return status;
    minimum_voltage(r, &bottom);
    stimulus_end_voltage(r, &end_mV);
    const double target = end_mV - sag * 0.1;
    const int n = r.plan.count, begin = r.first_below(0, n, bottom);
    const int end = r.first_above(begin, n, target);
    if (end >= n) return -BEYOND;
    if (end - begin < 10) return -TOO_FEW;
    double* y = r.scratch.work;
    for (int i = 0; i < end - begin; ++i) y[i] = std::log(std::fabs(r.at(begin + i) - r.at(end)));
    const Line fit = line(end - begin, [&](int i) { return r.t(begin + i); }, [&](int i) { return y[i]; }, false);
    out[0] = std::fabs(1.0 / fit.slope);
    return 1;
}

// Five-point derivative of x over [0, count).
template <class X>
DEVICE double five_point(X x, int i, int count) {
    if (i == 0) return x(1) - x(0);
    if (i == count - 1) return x(count - 1) - x(count - 2);
    if (i == 1) return (x(2) - x(0)) / 2.;
    if (i == count - 2) return (x(count - 1) - x(count - 3)) / 2.;
    return (-x(i + 2) + 8 * x(i + 1) - 8 * x(i - 1) + x(i - 2)) / 12.;
}
// Where the fall after the start of a hyperpolarising step begins and where it has become flat, as samples after
// `from`.  slope: (count).  A fall is five samples steeper than LEVEL, a plateau 70 ms that are not on average.
DEVICE inline int find_decay(Reading& r, const double* slope, int from, int count, int& begin, int& end) {
    const double LEVEL = 5e-3, PLATEAU_MS = 70;
    for (begin = 0;; ++begin) {
        bool falling = true;
        for (int i = begin; i < begin + 5; ++i) falling = falling && !(slope[i] > -LEVEL);
        if (falling) break;
        if (begin + 5 == count) return NOT_FOUND;
    }
    for (end = begin; r.t(end + from) < r.t(from + count) - PLATEAU_MS; ++end) {
        if (!(slope[end] + LEVEL > 0.)) continue;
        double sum = 0;
        int length = 0;
        for (; r.t(end + length + from) - r.t(end + from) < PLATEAU_MS; ++length) sum += slope[end + length];
        if (sum / length + LEVEL > 0.) break;
    }
    return 0;
}
// Membrane time constant from the first half of a hyperpolarising step: the exponential whose plateau, found by golden
// section within 5 mV, makes the logarithm straightest.
DEVICE inline int time_constant(Reading& r, double* out) {
    const Plan& plan = r.plan;
    if (plan.start >= plan.count) return -BEYOND;
    const int from = plan.start + 10;
    if (from >= plan.count) return -OUTSIDE;
    const double middle_ms = (plan.start_ms + plan.end_ms) / 2.;
    int to = from;
    while (to < plan.count && !(r.t(to) >= middle_ms)) ++to;
    if (to >= plan.count) return -OUTSIDE;
    const int count = to - from;
    if (count < 5) return -BEYOND;
    double* slope = r.scratch.work;
    for (int i = 0; i < count; ++i)
        slope[i] = five_point([&](int k) { return r.at(from + k); }, i, count) /
                   five_point([&](int k) { return r.t(from + k); }, i, count);
    int begin, end;
    if (const int status = find_decay(r, slope, from, count, begin, end)) return -status;
    if (end - begin < 10) return -TOO_FEW;
    const double last = r.at(from + end - 1);
    double* y = r.scratch.work;
    const auto fit = [&](double plateau) {
        for (int i = 0; i < end - begin; ++i) y[i] = std::log(r.at(from + begin + i) - last + plateau);
        return line(end - begin, [&](int i) { return r.t(from + begin + i); }, [&](int i) { return y[i]; }, true);
    };
    const double PHI = 1.618033988;
    double low = 0, high = 5e-3 * 1000., inner = (low * PHI + high) / (1. + PHI);
    Line found = fit(inner);
    double best = found.residual;
    bool right = true;
    while (high - low > .01) {
        const double next = right ? (inner * PHI + high) / (1. + PHI) : (low + PHI * inner) / (1. + PHI);
        found = fit(next);
        if (found.residual < best) {
            (right ? low : high) = inner;
            inner = next;
            best = found.residual;
        } else {
            (right ? high : low) = next;
            right = !right;
        }
    }
    out[0] = -1. / found.slope;
    return 1;
}

}  // namespace features
