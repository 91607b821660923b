// The loop over traces, on the threads of a processor.  Everything above it is per trace and allocates nothing.
#include <memory>
#include <mutex>
#include <vector>

#include "trace.hpp"

namespace features {

// Values of one thread's traces, in order.
class Values {
    static constexpr int ROOM = 1 << 15, MOST_KEPT = 64;
    typedef std::unique_ptr<double[]> Block;
    std::vector<Block> blocks;
    int used = ROOM;  // of the last block

    // Blocks go from call to call: fresh memory costs more time than what is written into it.
    struct Kept {
        std::mutex one_at_a_time;
        std::vector<Block> blocks;
    };
    static Kept& kept() {
        static Kept all;
        return all;
    }

  public:
    void add(const double* values, int count) {
        while (count > 0) {
            if (used == ROOM) begin_block();
            const int fit = smaller(count, ROOM - used);
            std::memcpy(blocks.back().get() + used, values, fit * sizeof(double));
            used += fit, values += fit, count -= fit;
        }
    }
    double* copy_to(double* out) const {
        for (const Block& block : blocks) {
            const int count = &block == &blocks.back() ? used : ROOM;
            std::memcpy(out, block.get(), count * sizeof(double));
            out += count;
        }
        return out;
    }
    ~Values() {
        const std::lock_guard<std::mutex> held(kept().one_at_a_time);
        for (Block& block : blocks)
            if (kept().blocks.size() < MOST_KEPT) kept().blocks.push_back(std::move(block));
    }

  private:
    void begin_block() {
        used = 0;
        const std::lock_guard<std::mutex> held(kept().one_at_a_time);
        if (kept().blocks.empty()) {
            blocks.emplace_back(new double[ROOM]);
        } else {
            blocks.push_back(std::move(kept().blocks.back()));
            kept().blocks.pop_back();
        }
    }
};

// What a thread allocates once, and none of it is initialised: most is never touched.
struct Work {
    std::unique_ptr<double[]> doubles;
    std::unique_ptr<unsigned char[]> flags;
    std::unique_ptr<int[]> ints;
    Scratch scratch;

    explicit Work(const Plan& plan)
        : doubles(new double[scratch_doubles(plan)]), flags(new unsigned char[scratch_flags(plan)]),
          ints(new int[scratch_ints(plan)]), scratch(scratch_in(plan, doubles.get(), flags.get(), ints.get())) {}
};

}  // namespace features

extern "C" long hpcfit_plan_bytes() { return sizeof(features::Plan); }

// mean, count, reason: (traces, wanted).  Returns the lists, to be taken by hpcfit_take, or null without keep.
extern "C" void* hpcfit_extract(const features::Plan* plan, const void* samples, int single, long traces,
                                const int* wanted, int wanted_count, int threads, int keep, double* mean, int* count,
                                unsigned char* reason) {
    using namespace features;
    auto* lists = keep ? new std::vector<Values>(threads) : nullptr;
    const std::size_t bytes = std::size_t(plan->raw_count) * (single ? 4 : 8);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; ++thread) {
        Work work(*plan);
        const long begin = traces * thread / threads, end = traces * (thread + 1) / threads;
        for (long row = begin; row < end; ++row) {
            const char* trace = static_cast<const char*>(samples) + row * bytes;
            work.scratch.ahead = row + 1 < end ? trace + bytes : nullptr;
            work.scratch.ahead_end = row + 1 < end ? trace + 2 * bytes : nullptr;
            const long at = row * wanted_count;
            const Row out{mean + at, count + at, reason + at};
            extract_trace(*plan, trace, single, work.scratch, wanted, wanted_count, out,
                          [&](const double* values, int found) { if (lists) (*lists)[thread].add(values, found); });
        }
    }
    return lists;
}

// Copies the lists, trace after trace and in each feature after feature, and forgets them.
extern "C" void hpcfit_take(void* handle, double* values) {
    auto* lists = static_cast<std::vector<features::Values>*>(handle);
    for (const auto& part : *lists) values = part.copy_to(values);
    delete lists;
}
