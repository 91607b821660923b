// The memory of one block of lanes.
#pragma once

#include "events.hpp"

// Rows of e and rhs after those of the nodes: what a sum over children starts from, and where the root's goes.
constexpr int ZEROS = N, SINK = N + 1, INJECTED = N + 2;

struct Block {
    R *v, *dv, *e, *rhs;
    R* low;  // what rounding has left of v, in single precision
    R* states[CLASSES];
    const R* lanes[CLASSES];
    const R* globals;
    const R* edges;  // [3][N][W]: a, b, capacitance, where they differ between lanes
    const int* own_sum;     // [N]: the row that holds what children have added to a node
    const int* parent_sum;  // [N]: the row that a node adds to, for its parent
    R t;                    // where the states are
    R middle;               // of the step: where NEURON evaluates currents
    Deliveries events;

    // One node's row of the tree matrix, given its membrane: excess e and right hand side of the node and its parent.
    INLINE_MEMBER void eliminate(int node, V i_total, V g_total) const {
        const int64_t at = int64_t(node) * W, above = int64_t(parent[node]) * W;
        const int64_t own_at = int64_t(own_sum[node]) * W, sum_at = int64_t(parent_sum[node]) * W;
        const V a = to_parent(node), b = own(node);
        V drop = load(v + above) - load(v + at);
        if constexpr (sizeof(R) == 4) drop += load(low + above) - load(low + at);
        const V excess = load(e + own_at) + capacitance(node) + g_total;
        const V right = load(rhs + own_at) - i_total + b * drop;
        const V inverse = R(1) / (excess + b), share = a * inverse;
        store(e + above, load(e + sum_at) + share * excess);
        store(rhs + above, load(rhs + sum_at) + (share * right - a * drop));
        store(e + at, inverse);
        store(rhs + at, right);
    }

    INLINE_MEMBER V to_parent(int node) const { return row(0, a_fixed, node); }
    INLINE_MEMBER V own(int node) const { return row(1, b_fixed, node); }
    INLINE_MEMBER V capacitance(int node) const { return row(2, cm_fixed, node) * cj; }

    INLINE_MEMBER V row(int number, const R* fixed, int node) const {
#if HPCFIT_EDGES_VARY
        (void)fixed;
        return load(edges + (number * N + node) * W);
#else
        (void)number;
        return c(fixed[node]);
#endif
    }
};

// Where a function of a class is at work: at its k-th node, or at that and the next.
struct One {
    typedef ::V V;
    typedef ::M M;
    const int* nodes;
    int k;
    R* s;
    const R* p;

    INLINE_MEMBER One(const int* nodes_, int k_, R* s_, const R* p_, int, int) : nodes(nodes_), k(k_), s(s_), p(p_) {}
    INLINE_MEMBER V state(int number) const { return load(s + number * W); }
    INLINE_MEMBER void keep(int number, V x) const { store(s + number * W, x); }
    INLINE_MEMBER V lane(int number) const { return load(p + number * W); }
    INLINE_MEMBER V number(const R* values) const { return c(values[k]); }
    INLINE_MEMBER V of(const R* array) const { return load(array + nodes[k] * W); }
    INLINE_MEMBER void eliminate(const Block& block, V i, V g) const { block.eliminate(nodes[k], i, g); }
};

struct Two {
    typedef V2 V;
    typedef M2 M;
    One a, b;

    INLINE_MEMBER Two(const int* nodes, int k, R* s, const R* p, int states, int lanes)
        : a(nodes, k, s, p, 0, 0), b(nodes, k + 1, s + states * W, p + lanes * W, 0, 0) {}
    INLINE_MEMBER V state(int number) const { return {a.state(number), b.state(number)}; }
    INLINE_MEMBER void keep(int number, V x) const { a.keep(number, x.a), b.keep(number, x.b); }
    INLINE_MEMBER V lane(int number) const { return {a.lane(number), b.lane(number)}; }
    INLINE_MEMBER V number(const R* values) const { return {a.number(values), b.number(values)}; }
    INLINE_MEMBER V of(const R* array) const { return {a.of(array), b.of(array)}; }
    INLINE_MEMBER void eliminate(const Block& block, V i, V g) const {
        a.eliminate(block, i.a, g.a);
        b.eliminate(block, i.b, g.b);
    }
};
