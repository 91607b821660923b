// The time loop over one block, and the entry point that shares blocks out to threads.
#pragma once

struct Arguments {
    int64_t blocks, steps, every, sites, injections, threads;
    const R* lanes;          // [blocks][all lane parameters][W]
    const R* globals;        // [blocks][GLOBALS][W]
    const R* edges;          // [blocks][3][N][W]
    const R* v_init;         // [blocks][W]
    const int64_t* site;     // [sites]
    const int64_t* injected; // [injections]: node
    const R* current;        // [injections][steps], mA/cm2 of that node
    Schedule schedule;
    R* out;                  // [blocks][sites][samples][W]
    int64_t* stopped;        // [blocks]: steps done when every lane had left all bounds, else -1
};

constexpr int CHECK_EVERY = 400;

INLINE void eliminate_and_substitute(Block& b) {
    for (int i = N - 1; i > 0; --i) {
        const int p = parent[i];
        const V to_parent = b.to_parent(i), own = b.own(i);
        V dv = load(b.v + p * W) - load(b.v + i * W);
        if constexpr (sizeof(R) == 4) dv += load(b.low + p * W) - load(b.low + i * W);
        const V rhs = load(b.rhs + i * W) + own * dv;
        const V e = load(b.e + i * W);
        const V inverse = R(1) / (e + own), share = to_parent * inverse;
        store(b.e + p * W, load(b.e + p * W) + share * e);
        store(b.rhs + p * W, load(b.rhs + p * W) + (share * rhs - to_parent * dv));
        store(b.e + i * W, inverse);
        store(b.rhs + i * W, rhs);
    }
    store(b.rhs, load(b.rhs) / load(b.e));
    for (int i = 1; i < N; ++i)
        store(b.rhs + i * W, (load(b.rhs + i * W) + b.own(i) * load(b.rhs + parent[i] * W)) * load(b.e + i * W));
    for (int i = 0; i < N; ++i) {
        const V change = R(order) * load(b.rhs + i * W), v = load(b.v + i * W);
        if constexpr (sizeof(R) == 4) {
            const V small = load(b.low + i * W) + change, sum = v + small;
            store(b.low + i * W, small - (sum - v));
            store(b.v + i * W, sum);
        } else {
            store(b.v + i * W, v + change);
        }
    }
}

static bool any_within_bounds(const Block& b) {
    for (int lane = 0; lane < W; ++lane)
        if (std::fabs(b.v[lane]) <= R(1e4)) return true;
    return false;
}

static void run_block(const Arguments& a, int64_t number, Block& b) {
    const int64_t samples = a.steps / a.every + 1;
    R* const out = a.out + number * a.sites * samples * W;
    for (int i = 0; i < N; ++i) {
        store(b.v + i * W, load(a.v_init + number * W));
        store(b.low + i * W, c(0));
    }
    double t = 0;  // added up as NEURON does: an event between two steps must fall to the same side
    b.t = 0;
    b.events.begin(a.schedule);
    all_starts(b);
    a.stopped[number] = -1;
    for (int64_t step = 0; step <= a.steps; ++step) {
        if (step % a.every == 0)
            for (int64_t site = 0; site < a.sites; ++site)
                store(out + (site * samples + step / a.every) * W, load(b.v + a.site[site] * W));
        if (step == a.steps) break;
        if (step % CHECK_EVERY == 0 && !any_within_bounds(b)) {
            a.stopped[number] = step;
            break;
        }
        b.events.step = step;
        b.middle = R(t += 0.5 * dt_ms);
        if (step == 0) all_classes<true>(b); else all_classes<false>(b);
        for (int k = 0; k < BARE; ++k) {
            store(b.rhs + bare[k] * W, c(0));
            store(b.e + bare[k] * W, c(0));
        }
        for (int64_t k = 0; k < a.injections; ++k) {
            R* const rhs = b.rhs + a.injected[k] * W;
            store(rhs, load(rhs) + a.current[k * a.steps + step]);
        }
        eliminate_and_substitute(b);
        b.t = R(t += 0.5 * dt_ms);
    }
}

extern "C" int hpcfit_run(const Arguments* a) {
    int64_t states = 4 * int64_t(N), lanes = 0;
    for (int k = 0; k < CLASSES; ++k) states += class_states[k], lanes += class_lanes[k];
    int failed = 0;
#pragma omp parallel num_threads(a->threads)
    {
        R* const memory = static_cast<R*>(std::aligned_alloc(64, (states * W * sizeof(R) + 63) / 64 * 64));
#pragma omp for schedule(dynamic)
        for (int64_t number = 0; number < a->blocks; ++number) {
            if (!memory) {
#pragma omp atomic write
                failed = 1;
                continue;
            }
            Block b;
            R* next = memory;
            for (R** array : {&b.v, &b.e, &b.rhs, &b.low}) *array = next, next += int64_t(N) * W;
            const R* parameters = a->lanes + number * lanes * W;
            for (int k = 0; k < CLASSES; ++k) {
                b.states[k] = next, next += int64_t(class_states[k]) * W;
                b.lanes[k] = parameters, parameters += int64_t(class_lanes[k]) * W;
            }
            b.globals = a->globals + number * GLOBALS * W;
            b.edges = a->edges + number * 3 * N * W;
            run_block(*a, number, b);
        }
        std::free(memory);
    }
    return failed;
}
