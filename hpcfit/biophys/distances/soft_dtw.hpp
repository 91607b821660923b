// Soft dynamic time warping (Cuturi & Blondel 2017, algorithm 1) of many traces at once: lanes are traces.
//
// r[i][j] = (x[i] - y[j])^2 + softmin(r[i-1][j], r[i][j-1], r[i-1][j-1]),
// softmin(a) = -gamma log sum exp(-a / gamma), within |i - j| <= band (Sakoe & Chiba 1978).
// Each cell waits for the one to its left, so TOGETHER vectors of lanes go side by side to keep the units busy.
#include <vector>

#include "lanes.hpp"

constexpr int TOGETHER = 4;
constexpr R FAR = 1e300;  // outside the band: never chosen, and exp(-FAR / gamma) is nothing

struct Cell { V part[TOGETHER]; };

INLINE V softmin(V a, V b, V c_, R gamma, R per_gamma) {
    const V low = least(a, b), high = most(a, b);
    const V smallest = least(low, c_), middle = most(low, least(high, c_)), largest = most(high, c_);
    const V rest = exp_((smallest - middle) * per_gamma) + exp_((smallest - largest) * per_gamma);
    return smallest - gamma * log_(R(1) + rest);
}

// x, y: (n,) cells; above, here: room for n + 1.
static Cell soft_dtw(const Cell* x, const Cell* y, long n, long band, R gamma, Cell* above, Cell* here) {
    Cell far;
    for (V& part : far.part) part = c(FAR);
    for (long j = 0; j <= n; ++j) above[j] = far;
    for (V& part : above[0].part) part = V{};
    for (long i = 1; i <= n; ++i) {
        const long first = i > band ? i - band : 1, last = n - i < band ? n : i + band;
        here[first - 1] = far;
        if (i > 1 && last == i + band) above[last] = far;  // of the row before the last: not in the band then
        for (long j = first; j <= last; ++j) {
#pragma GCC unroll 4
            for (int k = 0; k < TOGETHER; ++k) {
                const V apart = x[i - 1].part[k] - y[j - 1].part[k];
                here[j].part[k] = apart * apart + softmin(above[j].part[k], here[j - 1].part[k], above[j - 1].part[k],
                                                          gamma, R(1) / gamma);
            }
        }
        Cell* const swapped = above;
        above = here, here = swapped;
    }
    return above[n];
}

// x: (traces, n); y: (n,), or null: each trace against itself.  out: (traces,)
extern "C" void hpcfit_soft_dtw(const R* x, const R* y, long traces, long n, long band, R gamma, int threads, R* out) {
    constexpr long LANES = long(W) * TOGETHER;
    const long blocks = (traces + LANES - 1) / LANES;
#pragma omp parallel num_threads(threads)
    {
        std::vector<Cell> own(n), other(y ? n : 0), above(n + 1), here(n + 1);
        for (long i = 0; i < long(other.size()); ++i)
            for (V& part : other[i].part) part = c(y[i]);
#pragma omp for schedule(dynamic)
        for (long block = 0; block < blocks; ++block) {
            for (long lane = 0; lane < LANES; ++lane) {
                const long row = block * LANES + lane < traces ? block * LANES + lane : traces - 1;
                for (long i = 0; i < n; ++i) own[i].part[lane / W][lane % W] = x[row * n + i];
            }
            const Cell found = soft_dtw(own.data(), y ? other.data() : own.data(), n, band, gamma, above.data(), here.data());
            for (long lane = 0; lane < LANES && block * LANES + lane < traces; ++lane)
                out[block * LANES + lane] = found.part[lane / W][lane % W];
        }
    }
}
