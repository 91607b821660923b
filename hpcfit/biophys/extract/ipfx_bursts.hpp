// Which intervals are bursts?  ipfx.spike_train_features.detect_bursts.
#pragma once
#include "ipfx_trains.hpp"

namespace ipfx {

struct Bursts {
    static constexpr double EXTENSION = 0.1, TRANSITION = 0.01;  // _score_burst_set's c_n and c_tx
    Reading& r;
    int count;            // intervals
    double *isi, *score;  // (count)
    int *kind, *into, *out;
    bool* inside;
    int found = 0;

    // Which intervals may begin and end bursts; false when ends and begins do not pair.
    bool bounds() {
        int ends = 0, kept = 0;
        for (int i = 0; i < count; ++i)
            if (kind[i] == DIRECT && (i == 0 || kind[i - 1] == WITH_DETOUR)) into[found++] = i;
        for (int j = 0; j < found; ++j) {
            const int begin = into[j], next = j + 1 < found ? into[j + 1] : count;
            int i = begin + 1;
            while (i < next && kind[i] != WITH_DETOUR && kind[i] != PAUSELIKE) ++i;
            if (i < next && kind[i] == WITH_DETOUR) out[ends++] = i;
            if (i == next || kind[i] != PAUSELIKE) into[kept++] = begin;
        }
        found = kept;
        if (ends == found - 1) out[ends++] = count;
        return ends == found;
    }
    double index(const double* in, int in_count, const double* others, int other_count) const {
        const double rate = 1. / least_of(in, in_count), other = 1. / least_of(others, other_count);
        return (rate - other) / (rate + other);
    }
    double transition(int i) const {
        const double delay = r.t(r(SLOW, i)) - r.t(r(FAST, i));
        return r(SLOW, i) == NONE ? NAN : TRANSITION * (1. / (delay / isi[i]));
    }
    // The mean score of these bursts; the score of each.
    double judge(const int* begins, const int* ends, int bursts) {
        double* others = r.scratch.work + 2 * count;
        for (int i = 0; i < count; ++i) inside[i] = false;
        for (int j = 0; j < bursts; ++j)
            for (int i = begins[j]; i < ends[j]; ++i) inside[i] = true;
        int outside = 0;
        for (int i = 0; i < count; ++i)
            if (!inside[i]) others[outside++] = isi[i];
        for (int j = 0; j < bursts; ++j) {
            const int length = ends[j] - begins[j];
            score[j] = -1e12;
            if (outside == 0) continue;
            score[j] = index(isi + begins[j], length, others, outside);
            if (ends[j] < count) score[j] -= transition(ends[j]);
            if (begins[j] > 0) score[j] -= transition(begins[j] - 1);
            score[j] -= EXTENSION * (length - 1);
        }
        return mean_of(score, bursts);
    }
    void remove_worst(int* begins, int* ends, int& bursts) const {
        int worst = 0;
        for (int j = 1; j < bursts; ++j)
            if (score[j] < score[worst]) worst = j;
        --bursts;
        for (int j = worst; j < bursts; ++j) begins[j] = begins[j + 1], ends[j] = ends[j + 1];
    }
    // Leaves out the worst as long as that betters the mean score; false when none is good.
    bool choose() {
        int *begins = into + count + 1, *ends = out + count + 1, tried = found;
        double best = judge(into, out, found);
        for (int j = 0; j < found; ++j) begins[j] = into[j], ends[j] = out[j];
        remove_worst(begins, ends, tried);
        while (tried > 0) {
            const double mean = judge(begins, ends, tried);
            if (!(mean > best)) break;
            best = mean, found = tried;
            for (int j = 0; j < found; ++j) into[j] = begins[j], out[j] = ends[j];
            remove_worst(begins, ends, tried);
        }
        return !(best < 0);
    }
    // The least interval of a burst against those up to the next, or after the last, or before the only one.
    double burstiness(int j) const {
        int from = out[j], to = j + 1 < found ? into[j + 1] : count;
        if (j + 1 == found && out[j] >= count) from = j ? out[j - 1] : 0, to = into[j];
        return index(isi + into[j], out[j] - into[j], isi + from, to - from);
    }
};

// (largest burstiness, how many bursts): `which` of them.
template <int which>
int bursts(Reading& r, double* result) {
    double* isi = r.scratch.work;
    const int count = intervals(r, isi, 0);
    if (count < 0) return count;
    result[0] = 0;
    if (count < 2) return 1;
    int* ints = reinterpret_cast<int*>(r.scratch.forward);
    bool* flags = reinterpret_cast<bool*>(ints + 5 * count + 5);
    Bursts b{r, count, isi, isi + count, ints, ints + count, ints + 3 * count + 2, flags};
    find_pauses(r, isi, count, flags, isi + count);
    int seen[4] = {};
    for (int i = 0; i < count; ++i) {
        b.kind[i] = flags[i] ? int(PAUSELIKE) : r(DETOUR, i);
        if (b.kind[i] >= 0) ++seen[b.kind[i]];
    }
    if (!seen[DIRECT] || !seen[WITH_DETOUR]) return 1;
    for (int i = 0; i < count; ++i) {
        const bool high = r(SLOW, i) != NONE && r.v[r(SPIKES, i)] < r.v[r(SLOW, i)] + r.plan.burst_tol;
        if (high && b.kind[i] == WITH_DETOUR) b.kind[i] = MIDBURST;
    }
    if (!b.bounds()) return -NOT_FOUND;
    if (b.found == 0 || !b.choose()) return 1;
    double most = b.burstiness(0);
    for (int j = 1; j < b.found; ++j)
        if (const double x = b.burstiness(j); x > most) most = x;
    result[0] = which == 0 ? most : b.found;
    return 1;
}

}  // namespace ipfx
