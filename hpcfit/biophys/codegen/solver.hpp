// One step of the voltage: Hines elimination towards the root and substitution towards the leaves.
#pragma once

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
