// Where are a trace's spikes, and the landmarks around them?  Each list is found once, when a feature first asks.
//
// The definitions are eFEL's (version 5.7), with its conventions: lists are paired by rank, and spikes outside the
// stimulus count unless `strict`.
#pragma once
#include "search.hpp"

namespace features {

// Grid samples in ascending order, or why there are none: status is NO_SPIKE and so on, 0 when found.
struct List {
    int* at;
    int count;
    int status;
    INLINE int operator[](int i) const { return at[i]; }
    INLINE void add(int k) { at[count++] = k; }
};

enum Landmark { PEAKS, VALLEYS, BETWEEN, SLOW, BEGINS, ENDS, RISES, FALLS, BURST_BEGINS, BURST_ENDS, UPS, DOWNS, LANDMARKS };

// Room for the spikes of a trace, and for what comes with each: a crossing takes two samples.
INLINE int landmarks(const Plan& plan) { return plan.count / 2 + 4; }

struct Reading : Search {
    List lists[LANDMARKS];
    bool known[LANDMARKS] = {};

    INLINE Reading(const Plan& plan, const void* samples, bool single, Scratch& scratch)
        : Search(plan, samples, single, scratch) {
        for (int i = 0; i < LANDMARKS; ++i) lists[i] = List{scratch.landmarks + long(i) * landmarks(plan), 0, 0};
    }

    DEVICE const List& list(Landmark which) {
        List& found = lists[which];
        if (!known[which]) {
            known[which] = true;
            found.status = find(which, found);
            if (found.status) found.count = 0;
        }
        return found;
    }
    INLINE const List& peaks() { return list(PEAKS); }
    INLINE double peak_ms(int i) { return t(lists[PEAKS][i]); }

  private:
    DEVICE int find(Landmark which, List& out) {
        switch (which) {
            case PEAKS: return find_peaks(out);
            case VALLEYS: return find_valleys(out);
            case BETWEEN: return find_between(out);
            case SLOW: return find_slow(out);
            case BEGINS: return find_begins(out);
            case ENDS: return find_ends(out);
            case RISES: return find_rises(out);
            case FALLS: return find_falls(out);
            case BURST_BEGINS:
            case BURST_ENDS: return find_bursts();
            default: return NOT_FOUND;
        }
    }

    // A crossing has a sample strictly on either side: one exactly at the threshold hides it.
    DEVICE void find_crossings(List& ups, List& downs) {
        const double threshold = plan.threshold_mV, slack = 1e-6 * (1 + std::fabs(threshold));
        const double *v = scratch.v_mV, *low = scratch.low, *high = scratch.high;
        const Pack level = all(threshold), surely_above = all(threshold + slack), surely_below = all(threshold - slack);
        const int tiles = plan.raw_tiles();
        int next = 1;
        for (int from = 0; from < tiles; from += 64) {
            const auto may = [=](int i) {
                return at_most(surely_below, load(high + from + i)) & at_most(load(low + from + i), surely_above);
            };
            for (Bits open = bits(smaller(64, tiles - from), may); open; open &= open - 1) {
                const int tile = from + first_bit(open);
                const int stop = tile + 1 < tiles ? smaller(plan.tile_first[tile + 1] + 1, plan.count) : plan.count;
                for (int k = larger(next, plan.tile_first[tile]); k < stop; k = next) {
                    next = smaller(stop, (k / FILL + 1) * FILL);
                    if (raw_least<1>(k - 1, next) > threshold + slack) continue;
                    if (-raw_least<-1>(k - 1, next) < threshold - slack) continue;
                    fill_range(k - 1, next);
                    const Bits below_now = bits(next - k, [=](int i) { return below(load(v + k + i), level); });
                    const Bits above_now = bits(next - k, [=](int i) { return below(level, load(v + k + i)); });
                    const Bits below_then = below_now << 1 | (v[k - 1] < threshold);
                    const Bits above_then = above_now << 1 | (v[k - 1] > threshold);
                    for (Bits up = above_now & below_then; up; up &= up - 1) ups.add(k + first_bit(up));
                    for (Bits down = below_now & above_then; down; down &= down - 1) downs.add(k + first_bit(down));
                }
            }
        }
    }

    DEVICE int find_peaks(List& out) {
        List &ups = lists[UPS], &downs = lists[DOWNS];
        find_crossings(ups, downs);
        if (ups.count == 0 || downs.count == 0) return NO_SPIKE;
        int skip = 0;  // falls of a trace that starts above the threshold
        while (skip < downs.count && downs[skip] < ups[0]) ++skip;
        const int pairs = ups.count < downs.count - skip ? ups.count : downs.count - skip;
        for (int i = 0; i < pairs; ++i) {
            const int begin = ups[i], end = downs[skip + i] + 1;
            if (begin >= end) continue;
            const int k = highest(begin, end);
            if (plan.strict && !(t(k) >= plan.start_ms && t(k) <= plan.end_ms)) continue;
            out.add(k);
        }
        return out.count ? 0 : NO_SPIKE;
    }

    INLINE int last_end() const { return plan.strict ? plan.end : plan.count; }

    DEVICE int find_valleys(List& out) {
        const List& peak = peaks();
        if (peak.status) return peak.status;
        const int end = last_end();
        for (int i = 0; i < peak.count; ++i) {
            const int stop = i + 1 < peak.count ? peak[i + 1] : end;
            if (stop < peak[i]) return OUTSIDE;
            const int k = stop == peak[i] ? stop : first_valley(peak[i], stop);
            if (k == end - 1) continue;  // still falling at the end
            if (k >= plan.count) return OUTSIDE;
            out.add(k);
        }
        return out.count ? 0 : NOT_FOUND;
    }

    DEVICE int find_between(List& out) {
        const List& peak = peaks();
        if (peak.status) return peak.status;
        const int end = last_end();
        for (int i = 0; i < peak.count; ++i) {
            const int stop = i + 1 < peak.count ? peak[i + 1] : end;
            if (stop < peak[i]) return OUTSIDE;
            const int k = stop == peak[i] ? stop : lowest(peak[i], stop);
            if (k >= plan.count) return OUTSIDE;
            out.add(k);
        }
        return 0;
    }

    DEVICE int find_slow(List& out) {
        const List& peak = peaks();
        if (peak.status) return peak.status;
        if (peak.count < 3) return TOO_FEW;
        for (int i = 1; i + 1 < peak.count; ++i) {
            const double from_ms = t(peak[i]) + plan.slow_start_ms;
            const int begin = first_at(peak[i], peak[i + 1], from_ms);
            out.add(begin == peak[i + 1] ? begin : lowest(begin, peak[i + 1]));
        }
        return 0;
    }

    // Backwards from the peak to the last sample with a slope at or below the threshold; the window after it must be
    // steep throughout, else the search goes on from there.
    DEVICE int find_begins(List& out) {
        const List& peak = peaks();
        if (peak.status) return peak.status;
        const List& valley = list(VALLEYS);
        if (valley.status == OUTSIDE) return OUTSIDE;
        const int start = plan.start, window = plan.derivative_window;
        int first_peak = 0, first_valley = 0;
        while (first_peak < peak.count && peak[first_peak] <= start) ++first_peak;
        while (first_valley < valley.count && valley[first_valley] <= start) ++first_valley;
        const int inside = peak.count - first_peak;
        if (1 + valley.count - first_valley < inside) return TOO_FEW;
        for (int i = 0; i < inside; ++i) {
            const int floor = i ? valley[first_valley + i - 1] : start > 1 ? start - 2 : start == 1 ? 0 : start;
            int from = peak[first_peak + i], begin;
            bool steep = false;
            while (!steep) {
                begin = last_gentle(floor, from, plan.derivative_threshold) + 1;
                if (begin > plan.count - window) begin = plan.count - window;
                if (begin == floor) break;
                if (begin < 0 || begin > from) return BEYOND;
                from = begin - 1;
                steep = true;
                for (int k = begin; k < begin + window; ++k) steep = steep && !(slope(k) < plan.derivative_threshold);
            }
            if (steep) out.add(begin);
        }
        return out.count ? 0 : NOT_FOUND;
    }

    DEVICE int find_ends(List& out) {
        const List& peak = peaks();
        if (peak.status) return peak.status;
        for (int i = 0; i < peak.count; ++i) {
            if (peak[i] <= plan.start) continue;
            const int begin = peak[i] + 1, end = i + 1 < peak.count ? peak[i + 1] : plan.count - 1;
            if (begin >= end) continue;
            const int k = first_rising(steepest_fall(begin, end), end, plan.down_derivative_threshold);
            if (k < end) out.add(k);
        }
        return out.count ? 0 : NOT_FOUND;
    }

    DEVICE int find_rises(List& out) {
        const List &begin = list(BEGINS), &peak = peaks();
        if (begin.status) return begin.status;
        for (int i = 0; i < begin.count && i < peak.count; ++i) {
            if (peak[i] < begin[i]) return NOT_FOUND;
            out.add(nearest(begin[i], peak[i], (at(peak[i]) + at(begin[i])) / 2.));
        }
        return 0;
    }
    DEVICE int find_falls(List& out) {
        const List &begin = list(BEGINS), &peak = peaks(), &end = list(ENDS);
        if (begin.status) return begin.status;
        if (end.status) return end.status;
        for (int i = 0; i < begin.count && i < peak.count; ++i) {
            if (i >= end.count) return BEYOND;
            out.add(peak[i] > end[i] ? 0 : nearest(peak[i], end[i], (at(peak[i]) + at(begin[i])) / 2.));
        }
        return 0;
    }

    // A burst ends at an interval well above the median of those in it, and begins after one well below the last.
    DEVICE int find_bursts() {
        List &begins = lists[BURST_BEGINS], &ends = lists[BURST_ENDS];
        known[BURST_BEGINS] = known[BURST_ENDS] = true;
        const List& peak = peaks();
        const int status = peak.status ? peak.status : peak.count < 3 ? TOO_FEW : 0;
        begins.status = ends.status = status;
        if (status) return status;
        const auto interval = [this](int i) { return peak_ms(i + 1) - peak_ms(i); };
        const int skip = plan.ignore_first ? 1 : 0;
        int from = skip;
        begins.count = ends.count = 0;
        begins.add(skip);
        const auto bursting = [&] { return ends.count == 0 || begins[begins.count - 1] > ends[ends.count - 1]; };
        for (int i = skip + 1; i < peak.count - 1; ++i) {
            for (int j = from; j < i; ++j) scratch.work[j - from] = interval(j);
            const bool in_burst = bursting();
            if (in_burst && interval(i) > plan.strict_burst_factor * median(scratch.work, i - from)) ends.add(i), from = i;
            if (interval(i) < interval(i - 1) / plan.strict_burst_factor) {
                if (in_burst) begins.at[begins.count - 1] = i;
                else begins.add(i);
                from = i;
            }
        }
        if (bursting()) ends.add(peak.count - 1);
        return 0;
    }

  public:
    // The first local minimum that two samples in a row do not undercut, else the least: never a sample of noise early.
    DEVICE int first_valley(int begin, int end) {
        const double* v = scratch.v_mV;
        for (int k = begin; k + 2 < end; k += FILL) {
            const int stop = smaller(end - 2, k + FILL);
            fill_range(k, stop + 2);
            const auto valley = [=](int i) {
                const Pack here = load(v + k + i);
                return at_most(here, load(v + k + i + 1)) & at_most(here, load(v + k + i + 2));
            };
            if (const Bits found = bits(stop - k, valley)) return k + first_bit(found);
        }
        fill_range(begin, end);
        return first_least(begin, end, [=](int k) { return load(v + k); }).at;
    }

    // Sorts x (shell's method: in place, nothing to allocate) and returns its median.
    DEVICE static double median(double* x, int count) {
        for (int gap = count / 2; gap > 0; gap /= 2)
            for (int i = gap; i < count; ++i) {
                const double value = x[i];
                int j = i;
                for (; j >= gap && x[j - gap] > value; j -= gap) x[j] = x[j - gap];
                x[j] = value;
            }
        return count % 2 ? x[count / 2] : (x[(count - 1) / 2] + x[count / 2]) / 2;
    }
};

}  // namespace features
