// What follows from the injected current too, and from stimuli of several steps?  In eFEL's definitions.
#pragma once
#include "bursts.hpp"

namespace features {

DEVICE inline int known(int status, double value, double* out) {
    if (status) return status;
    out[0] = value;
    return 1;
}
DEVICE inline int current_base(Reading& r, double* out) {
    return known(r.plan.current.base_status, r.plan.current.base_nA, out);
}
DEVICE inline int current_end(Reading& r, double* out) {
    return known(r.plan.current.end_status, r.plan.current.end_nA, out);
}

// The voltage's spectrum, less a common phase: sum over its samples of (v - rest) exp(-i w n).  re, im, even, odd:
// (count); blocks from the last to the first, each turning what came after it.
DEVICE inline void voltage_spectrum(Reading& r, double rest, double* re, double* im, double* even, double* odd) {
    constexpr int MOST_TERMS = 32;
    const Spectrum& it = r.plan.spectrum;
    for (int f = 0; f < it.count; ++f) re[f] = im[f] = 0;
    for (int block = (r.plan.count - 1) / it.block; block >= 0; --block) {
        const int begin = block * it.block, samples = smaller(it.block, r.plan.count - begin);
        double moment[MOST_TERMS] = {};
        for (int i = 0; i < samples; ++i) {
            const double v = r.at(begin + i) - rest;
            for (int p = 0; p < it.terms; ++p) moment[p] += v * it.power[i * it.terms + p];
        }
        for (int f = 0; f < it.count; ++f) even[f] = odd[f] = 0;
        for (int p = 0; p < it.terms; ++p) {
            double* sum = p % 2 ? odd : even;
            const double* series = it.series + long(p) * it.count;
            for (int f = 0; f < it.count; ++f) sum[f] += series[f] * moment[p];
        }
        for (int f = 0; f < it.count; ++f) {
            const double turned = re[f] * it.turn_re[f] - im[f] * it.turn_im[f];
            im[f] = re[f] * it.turn_im[f] + im[f] * it.turn_re[f] + odd[f];
            re[f] = turned + even[f];
        }
    }
}
// The frequency, Hz, at which |voltage / current|, smoothed, is greatest: of a response without spikes.
DEVICE inline int impedance(Reading& r, double* out) {
    const Spectrum& it = r.plan.spectrum;
    if (it.status) return it.status;
    double rest;
    int status = voltage_base(r, &rest);
    if (status < 0) status = stimulus_end_voltage(r, &rest);
    if (status < 0) return status;
    if (!r.peaks().status) return -NOT_FOUND;
    if (r.at(r.highest(0, r.plan.count)) - r.at(r.lowest(0, r.plan.count)) < 1e-9) return -BEYOND;  // all rounding
    double *re = r.scratch.work, *im = re + it.count;
    voltage_spectrum(r, rest, re, im, out, out + it.count);
    for (int f = 0; f < it.count; ++f) re[f] = std::sqrt(re[f] * re[f] + im[f] * im[f]) / it.current[f];
    double most = -INFINITY;
    int found = 0;
    for (int f = 0; f < it.count; ++f) {
        double sum = 0;
        for (int i = -it.radius; i <= it.radius; ++i) {
            int at = (f + i) % (2 * it.count);  // mirrored about its ends, which count twice
            if (at < 0) at += 2 * it.count;
            sum += it.smooth[i + it.radius] * re[at < it.count ? at : 2 * it.count - 1 - at];
        }
        if (sum > most) most = sum, found = f;
    }
    out[0] = it.hertz[found];
    return 1;
}

DEVICE inline int multiple_decay_time_constants(Reading& r, double* out) {
    // eFEL asks for the constant after the whole stimulus first, and gives up where there is none.
    if (const int status = decay_time_constant(r, out); status < 0) return status;
    if (r.plan.decays == 0) return -NO_STIMULUS;
    for (int i = 0; i < r.plan.decays; ++i) {
        const int *step = r.plan.decay + 3 * i, count = step[2] - step[1];
        if (count < 1) return -OUTSIDE;
        if (step[0] >= r.plan.count) return -BEYOND;
        out[i] = decay_time(r, step[0], step[1], count);
    }
    return r.plan.decays;
}

}  // namespace features
