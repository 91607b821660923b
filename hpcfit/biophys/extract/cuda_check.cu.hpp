// What a device's loop over traces needs of the extractor, so that nvcc can be asked whether it compiles: a thread has
// a trace, its scratch after the others' in global memory.  No engine uses it and no device has run it.
#include "trace.hpp"

namespace features {

struct DeviceBatch {
    const Plan* plan;
    const char* samples;  // (traces, raw_count)
    int single;           // float32, else float64
    long traces;
    const int* wanted;
    int wanted_count;
    double* doubles;       // (traces, scratch_doubles)
    unsigned char* flags;  // (traces, scratch_flags)
    int* ints;             // (traces, scratch_ints)
    double* mean;          // (traces, wanted_count), as those below
    int* count;
    unsigned char* reason;
};

}  // namespace features

__global__ void hpcfit_extract_check(const features::DeviceBatch batch) {
    using namespace features;
    const long row = long(blockIdx.x) * blockDim.x + threadIdx.x;
    if (row >= batch.traces) return;
    const Plan& plan = *batch.plan;
    Scratch scratch = scratch_in(plan, batch.doubles + row * scratch_doubles(plan),
                                 batch.flags + row * scratch_flags(plan), batch.ints + row * scratch_ints(plan));
    const long at = row * batch.wanted_count;
    const char* trace = batch.samples + row * plan.raw_count * (batch.single ? 4 : 8);
    extract_trace(plan, trace, batch.single, scratch, batch.wanted, batch.wanted_count,
                  Row{batch.mean + at, batch.count + at, batch.reason + at}, [](const double*, int) {});
}
