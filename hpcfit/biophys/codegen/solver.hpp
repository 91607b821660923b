// The tree's linear system: where its sums are kept, and the pass from the root to the leaves.
//
// The pass towards the root is Block::eliminate, called by the functions of the classes as soon as a node's currents are
// known.
#pragma once
#include <vector>

// Where sums over children start and are kept, so that none has to be set to zero: the first child to come adds to the
// row of zeros, or to that of the injected current, and leaves the sum in its parent's row.
struct Sums {
    std::vector<int> start;  // [N]: the row that a node's sum starts from
    std::vector<int> own, parents;
    int rows = INJECTED;

    explicit Sums(const Arguments& a) : start(N + 2, ZEROS), own(N), parents(N) {
        for (int64_t one = 0; one < a.stimuli_count; ++one)
            for (int64_t k = 0; k < a.stimuli[one].injections; ++k) {
                int& row = start[a.stimuli[one].injected[k]];
                if (row == ZEROS) row = rows++;
            }
        std::vector<int> row = start;
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
