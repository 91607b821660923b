// Where are a trace's spikes, and their thresholds, peaks, strokes and troughs, as IPFX finds them?
//
// ipfx.feature_extractor.SpikeFeatureExtractor.process, step by step, on lists of samples.  Where IPFX raises an error
// (an empty stretch, a time outside the trace) there are no spikes, and `status` says why.
#pragma once
#include "ipfx_search.hpp"

namespace ipfx {

enum ListName { SPIKES, PEAKS, UPSTROKES, TROUGHS, DOWNSTROKES, FAST, ADPS, SLOW, CLIPPED, DETOUR, LISTS };
constexpr int NONE = -1;    // an undefined sample
constexpr int UNSURE = -2;  // an approximation does not tell

// A spike needs a slope below the cutoff and one above it; what is dropped on the way needs room as well.
inline int room(const Plan& plan) { return plan.count / 2 + 2; }

struct Reading : Search {
    int* lists[LISTS];
    int count = 0, status = 0;
    bool known = false;

    Reading(const Plan& plan, Scratch& scratch) : Search(plan, scratch) {
        for (int i = 0; i < LISTS; ++i) lists[i] = scratch.ints + long(i) * room(plan);
    }

    // Finds everything once, when a feature first asks.
    int spikes() {
        if (!known) {
            known = true;
            status = find();
            if (!status && count == 0) status = NO_SPIKE;
            if (status) count = 0;
        }
        return status;
    }
    int operator()(ListName which, int i) const { return lists[which][i]; }
    bool clipped(int i) const { return lists[CLIPPED][i]; }

  private:
    double slack_V_s = NAN;

    static constexpr double RETURN_MV = 1, FINE_FRACTION = 0.05;                       // check_thresholds_and_peaks
    static constexpr double TERMINATION = 0.01, ADP_V_S = 0.5, DROP_MV = 0.5;          // analyze_trough_details
    static constexpr double FLAT_S = 0.002, ADP_MOST_S = 0.005, ADP_MOST_MV = 10;

    int find() {
        if (plan.count < 2 || (plan.light.applies && plan.count <= PAD)) return OUTSIDE;
        if (plan.start < 0 || plan.end < 0) return OUTSIDE;
        find_putative();
        merge_putative();
        if (count == 0) return NO_SPIKE;
        if (!find_upstrokes()) return NOT_FOUND;
        refine_thresholds();
        drop_early();
        merge_overlapping();
        if (const int failed = shorten()) return failed;
        if (count == 0) return NO_SPIKE;
        if (!find_clipped() || !find_upstrokes() || !find_troughs() || !find_downstrokes()) return NOT_FOUND;
        return find_trough_details();
    }

    // Rises through the cutoff, each with a fall between it and the one before.
    void find_putative() {
        int* spike = lists[SPIKES];
        int last = NONE;
        const Bounds of = smooth_bounds;
        const Pack needed = all(rise_for(plan.dv_cutoff).without);
        const auto may = [=](int tile) { return at_most(needed, load(of.high + tile) - load(of.low + tile)); };
        count = 0;
        for_tiles(plan.start + 1, plan.end, may, [&](int begin, int end) {
            const Bits now = steep(begin, end, plan.dv_cutoff);
            if (!now) return;
            const Bits before = now << 1 | (slope(begin - 1) >= plan.dv_cutoff);
            for (Bits up = now & ~before; up; up &= up - 1) {
                const int k = begin + first_bit(up) - 1;
                if (last == NONE || falls(last, k)) spike[count++] = k;
                last = k;
            }
        });
        for (int i = 0; i < count; ++i) lists[PEAKS][i] = highest(spike[i], i + 1 < count ? spike[i + 1] : plan.end);
    }
    // Without a fall between a peak and the next spike they are one; what is too low is none.
    void merge_putative() {
        int *spike = lists[SPIKES], *peak = lists[PEAKS], kept = 0;
        for (int i = 0, first = 0; i < count; ++i) {
            if (i + 1 < count && !falls(peak[i], spike[i + 1])) continue;
            const int from = spike[first], top = peak[i];
            first = i + 1;
            if (v[top] >= plan.min_peak && v[top] - v[from] >= plan.min_height) spike[kept] = from, peak[kept] = top, ++kept;
        }
        count = kept;
    }
    bool find_upstrokes() {
        for (int i = 0; i < count; ++i) {
            const int begin = lists[SPIKES][i], end = lists[PEAKS][i];
            if (begin >= end) return false;
            lists[UPSTROKES][i] = steepest_rise(begin, end);
        }
        return true;
    }
    double mean_upstroke() const {
        return pairwise(0, count, [this](int i) { return slope(lists[UPSTROKES][i]); }) / count;
    }
    // The last sample of (floor, k] with a slope of at most this, else the floor.
    int last_gentle(int floor, int k, double slope_V_s) const {
        return k > floor ? last_of(floor, k, [=](int at) { return at_most(slopes(at), all(slope_V_s)); }) : floor;
    }
    // Back from each upstroke to a slope of a fraction of the mean upstroke, at most to the upstroke before.
    void refine_thresholds() {
        const double target = mean_upstroke() * plan.thresh_frac;
        for (int i = 0; i < count; ++i) {
            const int floor = i ? lists[UPSTROKES][i - 1] : 0;
            lists[SPIKES][i] = last_gentle(floor, lists[UPSTROKES][i], target);
        }
    }
    void keep(int from, int to) {
        for (ListName which : {SPIKES, PEAKS, UPSTROKES}) lists[which][to] = lists[which][from];
    }
    void drop_early() {
        if (!(plan.reject_s > 0)) return;
        int kept = 0;
        for (int i = 0; i < count; ++i)
            if (t(lists[SPIKES][i]) > plan.start_s + plan.reject_s) keep(i, kept++);
        count = kept;
    }
    void merge_overlapping() {
        int *spike = lists[SPIKES], *peak = lists[PEAKS], *upstroke = lists[UPSTROKES], kept = 0;
        for (int i = 0, first = 0; i < count; ++i) {
            if (i + 1 < count && spike[i + 1] <= peak[i] + 1) continue;
            spike[kept] = spike[first], peak[kept] = peak[i], upstroke[kept] = upstroke[i], ++kept;
            first = i + 1;
        }
        count = kept;
    }
    // Where the peak comes too late, the threshold is sought again, then the peak; else the spike is dropped.
    int shorten() {
        int *spike = lists[SPIKES], *peak = lists[PEAKS], *drop = lists[CLIPPED];
        double target = NAN;
        for (int i = 0; i < count; ++i) drop[i] = t(peak[i]) - t(spike[i]) >= plan.max_interval_s;
        for (int i = 0; i < count; ++i) {
            if (!drop[i]) continue;
            if (std::isnan(target)) target = mean_upstroke() * FINE_FRACTION;
            const int floor = at_time(t(peak[i]) - plan.max_interval_s);
            if (floor < 0) return OUTSIDE;
            if (const int k = last_gentle(floor, lists[UPSTROKES][i], target); k > floor) {
                spike[i] = k, drop[i] = false;
                continue;
            }
            const int end = at_time(t(spike[i]) + 2 * plan.max_interval_s);
            if (end < 0) return OUTSIDE;
            if (end <= spike[i]) return NOT_FOUND;
            const int top = highest(spike[i], end);
            const bool good = t(top) - t(spike[i]) < plan.max_interval_s && (i + 1 == count || t(top) < t(spike[i + 1]));
            if (good) peak[i] = top, drop[i] = false;
        }
        int kept = 0;
        for (int i = 0; i < count; ++i)
            if (!drop[i]) keep(i, kept++);
        count = kept;
        return 0;
    }
    // The last spike is clipped when the voltage does not come back to its threshold inside the stimulus.
    bool find_clipped() {
        for (int i = 0; i < count; ++i) lists[CLIPPED][i] = false;
        const int last = count - 1, top = lists[PEAKS][last];
        if (top > plan.end) return false;
        const double back_mV = v[lists[SPIKES][last]] + RETURN_MV;
        lists[CLIPPED][last] = !(v[lowest(top, plan.end + 1)] <= back_mV);
        return true;
    }
    bool find_troughs() {
        for (int i = 0; i < count; ++i) {
            const int begin = lists[PEAKS][i], end = i + 1 < count ? lists[SPIKES][i + 1] : plan.end;
            if (clipped(i)) {
                lists[TROUGHS][i] = NONE;
            } else {
                if (begin >= end) return false;
                lists[TROUGHS][i] = lowest(begin, end);
            }
        }
        return true;
    }
    // The next spike, or the end of the stimulus where that clips it.
    int next_of(int i) const {
        const int valid = count - clipped(count - 1);
        return i + 1 < valid ? lists[SPIKES][i + 1] : plan.end;
    }
    // The steepest fall before the trough; FAST holds that before the next spike, mostly the same, for later.
    bool find_downstrokes() {
        for (int i = 0; i < count; ++i) {
            lists[DOWNSTROKES][i] = NONE;
            if (clipped(i)) continue;
            const int peak = lists[PEAKS][i], trough = lists[TROUGHS][i];
            if (peak >= trough) return false;
            const int steepest = lists[FAST][i] = steepest_fall(peak, next_of(i));
            lists[DOWNSTROKES][i] = steepest < trough ? steepest : steepest_fall(peak, trough);
        }
        return true;
    }
    // Where the spike ends (fast trough), whether an afterdepolarisation follows, and the slow trough.
    int find_trough_details() {
        if (plan.count <= PAD && plan.heavy.applies) return OUTSIDE;
        const int valid = count - clipped(count - 1);
        for (int i = 0; i < count; ++i) lists[ADPS][i] = lists[SLOW][i] = lists[DETOUR][i] = NONE;
        if (valid < count) lists[FAST][valid] = NONE;
        slack_V_s = slope_left_out();
        for (int i = 0; i < valid; ++i) {
            const int next = i + 1 < valid ? lists[SPIKES][i + 1] : plan.end;
            int k = lists[FAST][i];
            const Pack target = all(TERMINATION * slope(k));
            k = first_of(k, next, [=](int at) { return at_most(target, slopes(at)); });
            if (k == next) {
                lists[CLIPPED][i] = true;
                lists[FAST][i] = NONE;
                continue;
            }
            lists[FAST][i] = k;
            const int adp = afterdepolarisation(k, next), from = adp == NONE ? k : adp, trough = lists[TROUGHS][i];
            // The trough is the lowest of more, up to the same end: where it is in this part, it is the lowest here.
            const bool known = trough >= from && (i + 1 < valid || valid == count);
            const int low = known ? trough : lowest(from, next);
            lists[DETOUR][i] = adp != NONE || v[k] - v[low] >= DROP_MV;
            lists[ADPS][i] = adp;
            lists[SLOW][i] = lists[DETOUR][i] ? low : NONE;
        }
        lists[ADPS][count - 1] = lists[SLOW][count - 1] = NONE;
        return 0;
    }
    // What the far taps of the heavy filter can add to a slope, V/s.
    double slope_left_out() const {
        const int tiles = (plan.count + TILE - 1) / TILE;
        const auto turned = [this](int tile) { return load(bounds.low + tile) - load(bounds.high + tile); };
        return 1e-9 - 1e-3 * plan.heavy.rest * first_least(0, tiles, turned).value / plan.least_dt_s;
    }
    // The first sample before `next` that is later than so long after begin, else next.
    int first_after(int begin, int next, double s) const {
        int k = larger(begin, smaller(next, begin + int(s / plan.least_dt_s)) - 2);
        if (t(k) - t(begin) > s) k = begin;
        while (k < next && t(k) - t(begin) <= s) ++k;
        return k;
    }
    // The filter's near taps mostly tell; where its far ones may matter, all are asked.
    int afterdepolarisation(int begin, int next) {
        if (plan.heavy.applies && inside(plan.heavy, begin, first_after(begin, next, ADP_MOST_S) + 1))
            if (const int found = find_rebound<true>(begin, next); found != UNSURE) return found;
        return find_rebound<false>(begin, next);
    }
    // Soon after the spike the filtered slope exceeds ADP_V_S and comes back to 0; then the voltage drops again.
    template <bool nearly> int find_rebound(int begin, int next) {
        const double slack = nearly ? slack_V_s : 0;
        double* y = scratch.work;
        const auto smoothen = [&](int from, int end) {
            if (nearly) nearly_filtered(plan.heavy, from, end + 1, y + (from - begin));
            else if (plan.heavy.applies) filtered(plan.heavy, from, end + 1, y + (from - begin));
            else
                for (int k = from; k <= end; ++k) y[k - begin] = v[k];
        };
        const auto steep = [&](int k) { return 1e-3 * (y[k + 1 - begin] - y[k - begin]) / (t(k + 1) - t(k)); };
        const auto steeps = [&](int k) {
            const double *now = y + k - begin, *t_s = plan.t_s + k;
            return 1e-3 * (load(now + 1) - load(now)) / (load(t_s + 1) - load(t_s));
        };
        int end = first_after(begin, next, FLAT_S);
        smoothen(begin, end);
        const int cross = first_of(begin, end, [&](int k) { return at_most(all(ADP_V_S - slack), steeps(k)); });
        if (cross == end || !(t(cross) - t(begin) < FLAT_S)) return NONE;
        if (nearly && !(steep(cross) >= ADP_V_S + slack)) return UNSURE;
        const int done = end;
        end = first_after(begin, next, ADP_MOST_S);
        smoothen(done, end);
        const int k = first_of(cross, end, [&](int at) { return at_most(steeps(at), all(slack)); });
        if (k == end) return NONE;
        if (nearly && !(steep(k) <= -slack)) return UNSURE;
        const bool drops = v[k] - v[lowest(k, next)] >= DROP_MV;
        return drops && v[k] - v[begin] <= ADP_MOST_MV ? k : NONE;
    }
};

}  // namespace ipfx
