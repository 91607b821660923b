// The time loop over one block of lanes, and the entry point that shares blocks out to threads.
#pragma once
#include <algorithm>
#include <initializer_list>
#include <limits>

#include "feature_recorder.hpp"
#include "recorders.hpp"
#include "solver.hpp"
#include "sums.hpp"

constexpr int64_t EDGES = HPCFIT_EDGES_VARY ? 3 * int64_t(N) : 0;
constexpr int64_t LOOK_EVERY = 64;  // samples between two looks at the clock

static int64_t lane_parameters() {
    int64_t count = 0;
    for (int k = 0; k < CLASSES; ++k) count += class_lanes[k];
    return count;
}

// injected: nodes that electrodes inject into.
static int64_t state_rows(int64_t injected) {
    int64_t count = 5 * (int64_t(INJECTED) + injected);
    for (int k = 0; k < CLASSES; ++k) count += class_states[k];
    return count;
}

// Numbers that describe an individual: lane parameters by class, edges, globals, v_init.
extern "C" int64_t hpcfit_row() { return lane_parameters() + EDGES + GLOBALS + 1; }

static int64_t rounded_up(int64_t bytes) { return (bytes + 63) / 64 * 64; }
static int64_t rows_bytes(int64_t rows) { return rounded_up(rows * W * int64_t(sizeof(R))); }

// Bytes of work that a thread needs.  samples: of the longest stimulus where features are recorded, else 0.
extern "C" int64_t hpcfit_work(int64_t sites, int64_t injected, int64_t recorded, int64_t samples) {
    const int64_t recorder = std::max({TraceRecorder::work_bytes(sites), SpikeRecorder::work_bytes(sites),
                                       FeatureRecorder::work_bytes(recorded, samples)});
    return rows_bytes(state_rows(injected)) + rows_bytes(hpcfit_row()) + rounded_up(recorder);
}

// The arrays of a block in a thread's memory, and the parameters of its individuals side by side.
static const R* set_up(const Arguments& a, const Sums& sums, const Lanes& lanes, R* memory, Block& b) {
    R* next = memory;
    std::memset(memory, 0, 5 * size_t(sums.rows) * W * sizeof(R));
    for (R** array : {&b.v, &b.dv, &b.e, &b.rhs, &b.low}) *array = next, next += int64_t(sums.rows) * W;
    b.own_sum = sums.own.data();
    b.parent_sum = sums.parents.data();
    for (int k = 0; k < CLASSES; ++k) b.states[k] = next, next += int64_t(class_states[k]) * W;
    R* const gathered = memory + rows_bytes(state_rows(sums.rows - INJECTED)) / int64_t(sizeof(R));
    const int64_t row = hpcfit_row();
    for (int lane = 0; lane < W; ++lane) {
        const R* const own = a.parameters + lanes.individual[lane] * row;
        for (int64_t i = 0; i < row; ++i) gathered[i * W + lane] = own[i];
    }
    const R* parameters = gathered;
    for (int k = 0; k < CLASSES; ++k) b.lanes[k] = parameters, parameters += int64_t(class_lanes[k]) * W;
    b.edges = parameters;
    b.globals = parameters + EDGES * W;
    return parameters + (EDGES + GLOBALS) * W;  // v_init
}

// What electrodes inject in this step: the same for all lanes where they share a stimulus.
INLINE void inject(const Arguments& a, const Sums& sums, const Lanes& lanes, int64_t step, Block& b) {
    for (int row = INJECTED; row < sums.rows; ++row) store(b.rhs + row * W, c(0));
    if (lanes.alike) {
        const Stimulus& stimulus = a.stimuli[lanes.stimulus[0]];
        for (int64_t k = 0; k < stimulus.injections; ++k) {
            R* const rhs = b.rhs + sums.start[stimulus.injected[k]] * W;
            store(rhs, load(rhs) + stimulus.current[k * stimulus.steps + step]);
        }
        return;
    }
    for (int lane = 0; lane < W; ++lane) {
        if (!lanes.running(lane)) continue;
        const Stimulus& stimulus = a.stimuli[lanes.stimulus[lane]];
        for (int64_t k = 0; k < stimulus.injections; ++k)
            b.rhs[sums.start[stimulus.injected[k]] * W + lane] += stimulus.current[k * stimulus.steps + step];
    }
}

// Stops the lanes whose voltage at a site is beyond the limit, or not a number.  All of such a lane becomes not a number:
// voltages far outside of what gates have tables for would go on costing every lane their statements.
INLINE void stop_diverged(const Arguments& a, const Block& b, int64_t at, Lanes& lanes) {
    M within = c(0) == c(0);
    for (int64_t site = 0; site < a.sites; ++site) within &= fabs_(load(b.v + a.site[site] * W)) <= R(a.limit_mV);
    for (int lane = 0; lane < W; ++lane)
        if (!is_set(within, lane) && lanes.running(lane)) {
            for (int i = 0; i < N; ++i) b.v[i * W + lane] = std::numeric_limits<R>::quiet_NaN();
            lanes.stop(a, lane, DIVERGED, at);
        }
}

template <class Recorder>
static Failure run_block(const Arguments& a, const Sums& sums, int64_t number, R* memory, Recorder& recorder) {
    Block b;
    Lanes lanes(a, number);
    const R* const v_init = set_up(a, sums, lanes, memory, b);
    const double begun = thread_seconds();
    for (int i = 0; i < N; ++i) {
        store(b.v + i * W, load(v_init));
        store(b.low + i * W, c(0));
    }
    double t = 0;  // added up as NEURON does: an event between two steps must fall to the same side
    b.t = 0;
    b.events.begin(a.stimuli[lanes.stimulus[0]].events);  // with point processes, all lanes share a stimulus
    all_starts(b);
    recorder.begin(lanes);
    for (int64_t step = 0;; ++step) {
        if (step % a.every == 0) {
            const int64_t at = step / a.every;
            if (at % LOOK_EVERY == 0) {
                if (*static_cast<const volatile int32_t*>(a.cancel)) return CANCELLED;
                const bool late = thread_seconds() - begun > a.deadline_s;
                for (int lane = 0; lane < W && late; ++lane)
                    if (lanes.running(lane)) lanes.stop(a, lane, DEADLINE, at);
            }
            stop_diverged(a, b, at, lanes);
            recorder.sample(b, at, lanes);
            for (int lane = 0; lane < W; ++lane)
                if (lanes.running(lane) && lanes.end[lane] == at) {
                    recorder.finish(lane, at);
                    lanes.stop(a, lane, DONE, at);
                }
            if (!lanes.count) break;
        }
        b.events.step = step;
        b.middle = R(t += 0.5 * dt_ms);
        inject(a, sums, lanes, step, b);
        if (step == 0) towards_root<true>(b); else towards_root<false>(b);
        towards_leaves(b);
        b.t = R(t += 0.5 * dt_ms);
    }
    return recorder.end(lanes) ? FINE : TOO_MANY_SPIKES;
}

template <class Recorder> static int run_all(Arguments& a) {
    const Sums sums(a);
    const int64_t injected = sums.rows - INJECTED;
    int failed = FINE;
#pragma omp parallel num_threads(a.threads)
    {
        const int64_t work = hpcfit_work(a.sites, injected, a.recorded, a.samples);
        char* const memory = static_cast<char*>(std::aligned_alloc(64, size_t(work)));
        Recorder recorder(a, memory + rows_bytes(state_rows(injected)) + rows_bytes(hpcfit_row()));
#pragma omp for schedule(dynamic)
        for (int64_t number = 0; number < a.blocks; ++number) {
            int before;
#pragma omp atomic read
            before = failed;
            if (before) continue;
            const int now = memory ? run_block(a, sums, number, reinterpret_cast<R*>(memory), recorder) : NO_MEMORY;
            if (now) {
#pragma omp atomic write
                failed = now;
            }
        }
        std::free(memory);
    }
    return failed;
}

// Blocks are taken in their order: the longest come first, so that no thread is left alone with one.
extern "C" int hpcfit_run(Arguments* a) {
    switch (a->record) {
        case 0: return run_all<TraceRecorder>(*a);
        case 1: return run_all<SpikeRecorder>(*a);
        default: return run_all<FeatureRecorder>(*a);
    }
}
