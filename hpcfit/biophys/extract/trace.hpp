// What are the features of one trace?  The one entry into the extractor, for a loop over traces and for a kernel that
// has just made them.
//
// Before it, generated code defines TABLE, the features in the order of their numbers.
#pragma once
#include "shape.hpp"
#include "summary.hpp"

namespace features {

// Of one trace, a number for each wanted feature.
struct Row {
    double* mean;  // NaN where undefined
    int* count;
    unsigned char* reason;  // 0 where defined
};

// Memory for scratch_in, in numbers.  Packs read some beyond what is used.
INLINE long padded(int count) { return count + 24L; }
INLINE long scratch_doubles(const Plan& plan) { return 3 * padded(plan.count) + 2 * padded(plan.raw_tiles()); }
INLINE long scratch_flags(const Plan& plan) { return plan.count / FILL + 1; }
INLINE long scratch_ints(const Plan& plan) { return long(LANDMARKS) * landmarks(plan); }

// Scratch for traces of a plan, one at a time, in memory that need not be initialised.
INLINE Scratch scratch_in(const Plan& plan, double* doubles, unsigned char* flags, int* ints) {
    const long samples = padded(plan.count), bounds = padded(plan.raw_tiles());
    double* rest = doubles + samples + 2 * bounds;
    return Scratch{doubles, flags,   doubles + samples + 8, doubles + samples + bounds + 8, rest, rest + samples,
                   ints,    nullptr, nullptr};
}

DEVICE inline double mean_of_values(const double* values, int count) {
    double sum = 0;
    for (int i = 0; i < count; ++i) sum += values[i];
    return sum / count;
}

// samples: plan.raw_count of them, float32 if single, else float64, one after another.  wanted: numbers of features.
// keep(values, count) gets all values of each feature that has some, in the order wanted.
template <class Keep>
DEVICE void extract_trace(const Plan& plan, const void* samples, bool single, Scratch& scratch, const int* wanted,
                          int wanted_count, const Row& row, Keep keep) {
    const bool finite = open(plan, samples, single, scratch);
    Reading reading(plan, samples, single, scratch);
    double* out = scratch.out;
    for (int column = 0; column < wanted_count; ++column) {
        const int found = finite ? TABLE[wanted[column]](reading, out) : -NOT_FINITE;
        double mean = found > 0 ? mean_of_values(out, found) : NAN;
        int reason = found > 0 ? 0 : found < 0 ? -found : int(NOT_FOUND);
        if (found > 0 && !std::isfinite(mean)) mean = NAN, reason = NOT_A_NUMBER;
        row.mean[column] = mean;
        row.count[column] = found > 0 ? found : 0;
        row.reason[column] = reason;
        if (found > 0) keep(out, found);
    }
}

}  // namespace features
