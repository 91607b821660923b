// What a device's time loop needs of the generated code, so that nvcc can be asked whether it compiles: one thread for
// each individual, its arrays one after the other in global memory.  No engine uses it and no device has run it.
#pragma once
#include "solver.hpp"

struct DeviceArguments {
    int64_t individuals, steps, rows;  // rows: INJECTED and the nodes that electrodes inject into
    R* memory;                 // [individuals][5 * rows + states]
    const R* parameters;       // [individuals][lane parameters, edges, globals, v_init]
    const int *own, *parents;  // [N]: Block::own_sum, Block::parent_sum
    const R* current;          // [rows - INJECTED][steps], mA/cm2 of the node
    Schedule events;
    R* v;  // [individuals][N], mV at the end
};

DEVICE static int64_t total(const int* counts) {
    int64_t sum = 0;
    for (int k = 0; k < CLASSES; ++k) sum += counts[k];
    return sum;
}

// The individual's arrays; gives where its v_init is.
DEVICE static const R* set_up(const DeviceArguments& a, int64_t individual, Block& b) {
    const int64_t edges = HPCFIT_EDGES_VARY ? 3 * int64_t(N) : 0;
    R* next = a.memory + individual * (5 * a.rows + total(class_states));
    for (int64_t i = 0; i < 5 * a.rows; ++i) next[i] = R(0);
    b.v = next, b.dv = b.v + a.rows, b.e = b.dv + a.rows, b.rhs = b.e + a.rows, b.low = b.rhs + a.rows;
    next = b.low + a.rows;
    const R* own = a.parameters + individual * (total(class_lanes) + edges + GLOBALS + 1);
    for (int k = 0; k < CLASSES; ++k) {
        b.states[k] = next, next += class_states[k];
        b.lanes[k] = own, own += class_lanes[k];
    }
    b.edges = own;
    b.globals = own + edges;
    b.own_sum = a.own;
    b.parent_sum = a.parents;
    b.events.begin(a.events);
    return b.globals + GLOBALS;
}

__global__ void hpcfit_cuda_check(const DeviceArguments a) {
    const int64_t individual = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (individual >= a.individuals) return;
    Block b;
    const R* const v_init = set_up(a, individual, b);
    for (int i = 0; i < N; ++i) b.v[i] = *v_init;
    double t = 0;
    b.t = 0;
    all_starts(b);
    for (int64_t step = 0; step < a.steps; ++step) {
        b.events.step = step;
        b.middle = R(t += 0.5 * dt_ms);
        for (int64_t row = INJECTED; row < a.rows; ++row)
            b.rhs[row] = a.current[(row - INJECTED) * a.steps + step];
        if (step == 0) towards_root<true>(b); else towards_root<false>(b);
        towards_leaves(b);
        b.t = R(t += 0.5 * dt_ms);
    }
    for (int i = 0; i < N; ++i) a.v[individual * N + i] = b.v[i];
}
