// The loop over traces, on the threads of a processor.  Everything above it is per trace and allocates nothing.
//
// Before it, generated code defines TABLE, the features in the order of their numbers.
#include <cstring>
#include <memory>
#include <vector>

namespace features {

struct Lists {
    std::vector<std::vector<double>> parts;  // of each thread's traces, in order
};

struct Work {
    std::unique_ptr<double[]> doubles;  // not initialised: most of it is never touched
    std::unique_ptr<unsigned char[]> flags;
    std::unique_ptr<int[]> ints;
    double* out;
    Scratch scratch;

    explicit Work(const Plan& plan)
        : flags(new unsigned char[plan.count / TILE + 1]),
          ints(new int[std::size_t(LANDMARKS) * landmarks(plan)]) {
        const std::size_t tiles = plan.raw_count / TILE + 1, count = plan.count;
        doubles.reset(new double[3 * (count + 8) + 3 * tiles]);
        double* at = doubles.get();
        out = at + 2 * count + 8 + 3 * tiles;
        scratch = Scratch{at, flags.get(), at + count, at + count + tiles, at + count + 2 * tiles, at + count + 3 * tiles};
    }
};

inline double mean_of_values(const double* values, int count) {
    double sum = 0;
    for (int i = 0; i < count; ++i) sum += values[i];
    return sum / count;
}

}  // namespace features

extern "C" long hpcfit_plan_bytes() { return sizeof(features::Plan); }

// mean, count, reason: (traces, wanted).  Returns the lists, to be taken by hpcfit_take, or null without keep.
extern "C" void* hpcfit_extract(const features::Plan* plan, const void* samples, int single, long traces,
                                const int* wanted, int wanted_count, int threads, int keep, double* mean, int* count,
                                unsigned char* reason) {
    using namespace features;
    auto* lists = keep ? new Lists : nullptr;
    if (lists) lists->parts.resize(threads);
    const std::size_t bytes = std::size_t(plan->raw_count) * (single ? 4 : 8);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; ++thread) {
        Work work(*plan);
        double* out = work.out;
        const long begin = traces * thread / threads, end = traces * (thread + 1) / threads;
        for (long row = begin; row < end; ++row) {
            Reading reading(*plan, static_cast<const char*>(samples) + row * bytes, single, work.scratch, work.ints.get());
            const bool finite = open(*plan, reading.samples, single, work.scratch);
            for (int column = 0; column < wanted_count; ++column) {
                const long at = row * wanted_count + column;
                const int found = finite ? TABLE[wanted[column]](reading, out) : -NOT_FINITE;
                count[at] = found > 0 ? found : 0;
                reason[at] = found > 0 ? 0 : found < 0 ? -found : int(NOT_FOUND);
                mean[at] = found > 0 ? mean_of_values(out, found) : NAN;
                if (found > 0 && !std::isfinite(mean[at])) mean[at] = NAN, reason[at] = NOT_A_NUMBER;
                if (lists && found > 0) lists->parts[thread].insert(lists->parts[thread].end(), out, out + found);
            }
        }
    }
    return lists;
}

// Copies the lists, trace after trace and in each feature after feature, and forgets them.
extern "C" void hpcfit_take(void* handle, double* values) {
    auto* lists = static_cast<features::Lists*>(handle);
    for (const auto& part : lists->parts) {
        if (!part.empty()) std::memcpy(values, part.data(), part.size() * sizeof(double));
        values += part.size();
    }
    delete lists;
}
