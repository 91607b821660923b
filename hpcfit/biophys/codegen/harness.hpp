// The time loop over one block, and the entry point that shares blocks out to threads.
#pragma once
#include <vector>

struct Arguments {
    int64_t blocks, steps, every, sites, injections, threads;
    const R* lanes;          // [blocks][all lane parameters][W]
    const R* globals;        // [blocks][GLOBALS][W]
    const R* edges;          // [blocks][3][N][W]
    const R* v_init;         // [blocks][W]
    const int64_t* site;     // [sites]
    const int64_t* injected; // [injections]: node
    const R* current;        // [injections][steps], mA/cm2 of that node
    R* out;                  // [blocks][sites][samples][W]
    int64_t* stopped;        // [blocks]: steps done when every lane had left all bounds, else -1
};

constexpr int CHECK_EVERY = 400;

// Where sums over children start and are kept, so that none has to be set to zero: the first child to come adds to the
// row of zeros, or to that of the injected current, and leaves the sum in its parent's row.
struct Sums {
    std::vector<int> own, parents, start;
    int rows = INJECTED;

    explicit Sums(const Arguments& a) : own(N, ZEROS), parents(N), start(a.injections) {
        std::vector<int> row(N + 2, ZEROS);
        for (int64_t k = 0; k < a.injections; ++k) {
            int& here = row[a.injected[k]];
            if (here == ZEROS) here = rows++;
            start[k] = here;
        }
        for (int i = N - 1; i >= 0; --i) {
            own[i] = row[i];
            parents[i] = row[parent[i]];
            row[parent[i]] = parent[i];
        }
    }
};

// v and what rounding left of it, advanced by `change`.
INLINE void advance(R* v, R* low, V change) {
    const V before = load(v);
    if constexpr (sizeof(R) == 4) {
        const V small = load(low) + change, sum = before + small;
        store(low, small - (sum - before));
        store(v, sum);
    } else {
        store(v, before + change);
    }
}

static NOINLINE void towards_leaves(const Block& b) {
    R* __restrict const v = b.v;
    R* __restrict const low = b.low;
    R* __restrict const dv = b.dv;
    const R* __restrict const rhs = b.rhs;
    const R* __restrict const inverse = b.e;
    for (int64_t i = 0, at = 0; i < N; ++i, at += W) {
        const V x = (load(rhs + at) + b.own(int(i)) * load(dv + int64_t(parent[i]) * W)) * load(inverse + at);
        store(dv + at, x);
        advance(v + at, low + at, R(order) * x);
    }
}

static bool any_within_bounds(const Block& b) {
    for (int lane = 0; lane < W; ++lane)
        if (std::fabs(b.v[lane]) <= R(1e4)) return true;
    return false;
}

static void run_block(const Arguments& a, const Sums& sums, int64_t number, Block& b) {
    const int64_t samples = a.steps / a.every + 1;
    R* const out = a.out + number * a.sites * samples * W;
    for (int i = 0; i < N; ++i) {
        store(b.v + i * W, load(a.v_init + number * W));
        store(b.low + i * W, c(0));
    }
    b.t = 0;
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
        for (int64_t k = 0; k < a.injections; ++k) store(b.rhs + sums.start[k] * W, c(0));
        for (int64_t k = 0; k < a.injections; ++k) {
            R* const rhs = b.rhs + sums.start[k] * W;
            store(rhs, load(rhs) + a.current[k * a.steps + step]);
        }
        if (step == 0) towards_root<true>(b); else towards_root<false>(b);
        towards_leaves(b);
        b.t = R(step + 1) * dt;
    }
}

extern "C" int hpcfit_run(const Arguments* a) {
    const Sums sums(*a);
    int64_t states = 5 * int64_t(sums.rows), lanes = 0;
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
            std::memset(memory, 0, 5 * int64_t(sums.rows) * W * sizeof(R));
            for (R** array : {&b.v, &b.dv, &b.e, &b.rhs, &b.low}) *array = next, next += int64_t(sums.rows) * W;
            b.own_sum = sums.own.data();
            b.parent_sum = sums.parents.data();
            const R* parameters = a->lanes + number * lanes * W;
            for (int k = 0; k < CLASSES; ++k) {
                b.states[k] = next, next += int64_t(class_states[k]) * W;
                b.lanes[k] = parameters, parameters += int64_t(class_lanes[k]) * W;
            }
            b.globals = a->globals + number * GLOBALS * W;
            b.edges = a->edges + number * 3 * N * W;
            run_block(*a, sums, number, b);
        }
        std::free(memory);
    }
    return failed;
}
