// The tree's linear system: the pass from the root to the leaves.
//
// The pass towards the root is Block::eliminate, called by the functions of the classes as soon as a node's currents are
// known.
#pragma once

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
