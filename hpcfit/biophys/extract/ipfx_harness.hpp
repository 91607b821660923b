// The loop over traces for the features that are IPFX's, on the threads of a processor.
//
// Before it, generated code defines ipfx::TABLE, the features in the order of their numbers.
namespace ipfx {

struct Work {
    std::unique_ptr<double[]> doubles;  // not initialised: most of it is never touched
    std::unique_ptr<int[]> ints;
    double* out;
    Scratch scratch;

    explicit Work(const Plan& plan) : ints(new int[std::size_t(LISTS) * room(plan)]) {
        const std::size_t count = plan.count, tiles = count / TILE + 1;
        doubles.reset(new double[6 * count + 4 * (tiles + 24) + 2 * PAD + 128]);
        double* at = doubles.get();
        const auto take = [&at](std::size_t size) { return (at += size) - size; };
        const auto bounds = [&] { return take(tiles + 24) + 8; };  // packs of them read some beyond either end
        scratch.smooth = take(count);
        scratch.recorded = {bounds(), bounds()}, scratch.filtered = {bounds(), bounds()};
        scratch.forward = take(2 * count + 2 * PAD + 16), scratch.work = take(2 * count + 64);
        scratch.ints = ints.get();
        out = take(count + 8);
    }
};


extern "C" long hpcfit_ipfx_plan_bytes() { return sizeof(Plan); }

// As hpcfit_extract.
extern "C" void* hpcfit_extract_ipfx(const Plan* plan, const void* samples, int single, long traces,
                                     const int* wanted, int wanted_count, int threads, int keep, double* mean,
                                     int* count, unsigned char* reason) {
    auto* lists = keep ? new std::vector<features::Values>(threads) : nullptr;
    const std::size_t bytes = std::size_t(plan->count) * (single ? 4 : 8);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; ++thread) {
        Work work(*plan);
        double* out = work.out;
        const long begin = traces * thread / threads, end = traces * (thread + 1) / threads;
        for (long row = begin; row < end; ++row) {
            Reading reading(*plan, work.scratch);
            const char* trace = static_cast<const char*>(samples) + row * bytes;
            work.scratch.ahead = row + 1 < end ? trace + bytes : nullptr;
            work.scratch.ahead_end = row + 1 < end ? trace + 2 * bytes : nullptr;
            const bool finite = open(*plan, trace, single, work.scratch, reading);
            for (int column = 0; column < wanted_count; ++column) {
                const long at = row * wanted_count + column;
                const int found = finite ? TABLE[wanted[column]](reading, out) : -NOT_FINITE;
                count[at] = found > 0 ? found : 0;
                reason[at] = found > 0 ? 0 : -found;
                mean[at] = found > 0 ? mean_of_values(out, found) : NAN;
                if (found > 0 && !std::isfinite(mean[at])) mean[at] = NAN, reason[at] = NOT_A_NUMBER;
                if (lists && found > 0) (*lists)[thread].add(out, found);
            }
        }
    }
    return lists;
}

}  // namespace ipfx
