// Where is a trace lowest, highest, steepest, or first beyond a voltage?  Tiles whose bounds rule it out are not read.
#pragma once
#include "grid.hpp"

namespace features {

struct Search : Trace {
    INLINE Search(const Plan& plan, const void* samples, bool single, Scratch& scratch)
        : Trace{plan, samples, single, scratch} {}

    // First grid sample in [begin, end), which is not empty, where the voltage is least.
    INLINE int lowest(int begin, int end) { return extreme<1>(begin, end); }
    INLINE int highest(int begin, int end) { return extreme<-1>(begin, end); }

    // First grid sample in [begin, end), which is not empty, where the slope is least.
    DEVICE int steepest_fall(int begin, int end) {
        if (begin == 0 || end == plan.count) return steepest_of_all(begin, end);
        // Shortly after a peak, mostly: what is found there rules out nearly all the rest.
        const int near = plan.bounded ? smaller(end, begin + FILL) : end;
        Least found{end, INFINITY};
        look_for_fall(begin, near, found);
        if (near == end) return found.at;
        const double *low = scratch.low, *high = scratch.high;
        const auto range = [=](int tile) { return load(high + tile) - load(low + tile); };
        const int first = left(near) / TILE, last = left(end - 1) / TILE;
        for (int from = first; from <= last; from += 64) {
            const auto drop = [=](int i) {  // a slope reaches into the neighbouring tiles
                const int tile = from + i;
                return most(range(tile), most(range(tile - 1), range(tile + 1)));
            };
            const Pack needed = all(fall_for(found.value));
            for (Bits open = bits(smaller(64, last + 1 - from), [=](int i) { return at_most(needed, drop(i)); }); open;
                 open &= open - 1) {
                const int tile = from + first_bit(open);
                const int begins = larger(near, plan.tile_first[tile]), ends = smaller(end, plan.tile_first[tile + 1]);
                if (begins < ends && raw_fall(begins - 1, ends) >= fall_for(found.value))
                    look_for_fall(begins, ends, found);
            }
        }
        return found.at;
    }

    // First sample of [begin, end) at or above a voltage, else end.
    INLINE int first_above(int begin, int end, double v_mV) { return first_beyond<-1>(begin, end, -v_mV); }
    // First sample of [begin, end) at or below a voltage, else end.
    INLINE int first_below(int begin, int end, double v_mV) { return first_beyond<1>(begin, end, v_mV); }
    // First sample of [begin, end), inside the trace's first and last, with a slope of at least this, else end.
    DEVICE int first_rising(int begin, int end, double slope) {
        for (int k = begin; k < end; k += FILL) {
            const int stop = smaller(end, k + FILL);
            fill_range(k - 1, stop + 1);
            if (const Bits found = bits(stop - k, [&](int i) { return at_most(all(slope), slopes(k + i)); }))
                return k + first_bit(found);
        }
        return end;
    }
    // Last sample of [begin, end) with a slope of at most this, else begin - 1.
    DEVICE int last_gentle(int begin, int end, double slope) {
        for (int stop = end; stop > begin;) {
            int from = larger(begin, stop - FILL);
            if (from == 0 || stop == plan.count) {  // a one-sided difference
                if (this->slope(--stop) <= slope) return stop;
                continue;
            }
            fill_range(from - 1, stop + 1);
            if (const Bits found = bits(stop - from, [&](int i) { return at_most(slopes(from + i), all(slope)); }))
                return from + last_bit(found);
            stop = from;
        }
        return begin - 1;
    }
    // First sample in [begin, end) that is nearest to a voltage; begin when there is none.
    DEVICE int nearest(int begin, int end, double v_mV) {
        if (begin >= end) return begin;
        const double* v = scratch.v_mV;
        fill_range(begin, end);
        return first_least(begin, end, [=](int k) { return absolute(load(v + k) - all(v_mV)); }).at;
    }

  protected:
    // The recorded samples that grid samples [begin, end] are interpolated from.
    INLINE void recorded(int begin, int end, int& from, int& stop) const {
        from = left(begin);
        stop = smaller(left(end) + 2, plan.raw_count);
    }
    // The least of the recorded samples that a stretch is interpolated from, with either sign.
    template <int SIGN> INLINE double raw_least(int begin, int end) const {
        int from, stop;
        recorded(begin, end - 1, from, stop);
        return single ? least_of<SIGN>(static_cast<const float*>(samples), from, stop)
                      : least_of<SIGN>(static_cast<const double*>(samples), from, stop);
    }
    // Or less: of a stretch shorter than a pack, its neighbours are taken in.
    template <int SIGN, class Sample> INLINE double least_of(const Sample* y, int from, int stop) const {
        constexpr int STEP = sizeof(typename PackOf<Sample>::Type) / sizeof(Sample);
        if (plan.raw_count < STEP) return -INFINITY;
        stop = larger(stop, from + STEP);
        if (stop > plan.raw_count) stop = plan.raw_count, from = smaller(from, stop - STEP);
        auto low = Sample(SIGN) * load(y + stop - STEP);
        for (int i = from; i + STEP < stop; i += STEP) low = least(Sample(SIGN) * load(y + i), low);
        return least_lane(low);
    }
    INLINE static int block_end(int k, int end) { return smaller(end, (k / FILL + 1) * FILL); }

  private:
    INLINE Pack slopes(int k) const {
        const double *v = scratch.v_mV + k, *t_ms = plan.t_ms + k;
        return (load(v + 1) - load(v - 1)) / (load(t_ms + 1) - load(t_ms - 1));
    }
    DEVICE int steepest_of_all(int begin, int end) {
        Least found{begin, INFINITY};
        for (int k = begin; k < end; ++k)
            if (const double s = slope(k); s < found.value) found = {k, s};
        return found.at;
    }
    INLINE void look_for_fall(int begin, int end, Least& found) {
        fill_range(begin - 1, end + 1);
        keep_better(found, first_least(begin, end, [this](int k) { return slopes(k); }));
    }
    INLINE static void keep_better(Least& found, const Least& other) {
        if (other.value < found.value || (other.value == found.value && other.at < found.at)) found = other;
    }
    // By how much neighbouring recorded samples fall, less rounding, where a slope is at most this.
    INLINE double fall_for(double slope) const {
        return slope == INFINITY ? -INFINITY : (-slope - 2e-6 * (1 + std::fabs(slope))) * plan.least_dt_ms;
    }
    DEVICE double raw_fall(int begin, int end) const {
        int from, stop;
        recorded(begin, end, from, stop);
        return single ? greatest_fall(static_cast<const float*>(samples), from, stop)
                      : greatest_fall(static_cast<const double*>(samples), from, stop);
    }
    template <class Sample> INLINE double greatest_fall(const Sample* y, int from, int stop) const {
        constexpr int STEP = sizeof(typename PackOf<Sample>::Type) / sizeof(Sample);
        if (plan.raw_count <= STEP) return INFINITY;
        stop = larger(stop, from + STEP + 1);
        if (stop > plan.raw_count) stop = plan.raw_count, from = smaller(from, stop - STEP - 1);
        auto fall = load(y + stop - STEP - 1) - load(y + stop - STEP);
        for (int i = from; i + STEP + 1 < stop; i += STEP) fall = most(load(y + i) - load(y + i + 1), fall);
        return most_lane(fall);
    }
    // Of some blocks, that with the least recorded sample first.
    template <int SIGN> DEVICE void look_for_least(int begin, int end, Least& found) {
        const double* v = scratch.v_mV;
        const auto look = [&](int from, int stop) {
            fill_range(from, stop);
            keep_better(found, first_least(from, stop, [v](int k) { return double(SIGN) * load(v + k); }));
        };
        int best = begin;
        double lowest = INFINITY;
        for (int k = begin; k < end; k = (k / FILL + 1) * FILL)
            if (const double raw = raw_least<SIGN>(k, block_end(k, end)); raw < lowest) lowest = raw, best = k;
        if (begin >= end || lowest > limit(found.value)) return;
        look(best, block_end(best, end));
        for (int k = begin; k < end; k = (k / FILL + 1) * FILL)
            if (k != best && raw_least<SIGN>(k, block_end(k, end)) <= limit(found.value)) look(k, block_end(k, end));
    }
    template <int SIGN> DEVICE int extreme(int begin, int end) {
        const double *v = scratch.v_mV, *bounds = SIGN > 0 ? scratch.low : scratch.high;
        const auto value = [v](int k) { return double(SIGN) * load(v + k); };
        const auto bound = [bounds](int tile) { return double(SIGN) * load(bounds + tile); };
        if (!plan.bounded || end - begin <= 2 * TILE) {
            fill_range(begin, end);
            return first_least(begin, end, value).at;
        }
        const int first = left(begin) / TILE, last = left(end - 1) / TILE;
        Least found{end, INFINITY};
        const auto look = [&](int tile) {
            const int from = larger(begin, plan.tile_first[tile]), stop = smaller(end, plan.tile_first[tile + 1]);
            look_for_least<SIGN>(from, stop, found);
        };
        // The likeliest tile first: what it holds rules out nearly all others.  Of the first and the last, part counts.
        const int likeliest = last > first + 1 ? first_least(first + 1, last, bound).at : first;
        look(likeliest);
        for (int from = first; from <= last; from += 64) {
            const Pack most = all(limit(found.value));
            for (Bits open = bits(smaller(64, last + 1 - from), [=](int i) { return at_most(bound(from + i), most); });
                 open; open &= open - 1)
                if (const int tile = from + first_bit(open); tile != likeliest) look(tile);
        }
        return found.at;
    }
    // Interpolation may round a voltage below the samples that bound it.
    INLINE static double limit(double v_mV) { return v_mV + 2e-12 * (1 + std::fabs(v_mV)); }

    // First sample of [begin, end) with SIGN * voltage at most this, else end.
    template <int SIGN> DEVICE int first_beyond(int begin, int end, double level) {
        if (begin >= end) return end;
        const double *v = scratch.v_mV, *bounds = SIGN > 0 ? scratch.low : scratch.high;
        const int first = left(begin) / TILE, last = left(end - 1) / TILE;
        const Pack most = all(limit(level));
        for (int from = first; from <= last; from += 64) {
            const auto may = [=](int i) { return at_most(double(SIGN) * load(bounds + from + i), most); };
            for (Bits open = bits(smaller(64, last + 1 - from), may); open; open &= open - 1) {
                const int tile = from + first_bit(open), stop = smaller(end, plan.tile_first[tile + 1]);
                for (int k = larger(begin, plan.tile_first[tile]), next; k < stop; k = next) {
                    next = block_end(k, stop);
                    if (!scratch.filled[k / FILL] && raw_least<SIGN>(k, next) > limit(level)) continue;
                    fill_range(k, next);
                    const auto beyond = [=](int i) { return at_most(double(SIGN) * load(v + k + i), all(level)); };
                    if (const Bits found = bits(next - k, beyond)) return k + first_bit(found);
                }
            }
        }
        return end;
    }
};

}  // namespace features
