// The memory of one block of lanes.
#pragma once
#include <cstdlib>
#include <new>

#include "events.hpp"

struct Block {
    R *v, *e, *rhs;
    R* low;  // what rounding has left of v, in single precision
    R* states[CLASSES];
    const R* lanes[CLASSES];
    const R* globals;
    const R* edges;  // [3][N][W]: a, b, capacitance, where they differ between lanes
    R t;       // where the states are
    R middle;  // of the step: where NEURON evaluates currents
    Deliveries events;

    V to_parent(int node) const { return row(0, a_fixed, node); }
    V own(int node) const { return row(1, b_fixed, node); }
    V capacitance(int node) const { return row(2, cm_fixed, node) * cj; }

    V row(int number, const R* fixed, int node) const {
#if HPCFIT_EDGES_VARY
        (void)fixed;
        return load(edges + (number * N + node) * W);
#else
        (void)number;
        return c(fixed[node]);
#endif
    }
};
