// Where is a trace lowest, highest, steepest, or first beyond a slope?  Tiles whose bounds rule it out are not read.
#pragma once
#include "ipfx_trace.hpp"

namespace ipfx {

struct Search : Trace {
    Search(const Plan& plan, Scratch& scratch) : Trace{plan, scratch, {}, {}, {}, {}} {}

    // First sample of [begin, end) with the least voltage; begin of an empty stretch.
    int lowest(int begin, int end) { return extreme<1>(begin, end); }
    int highest(int begin, int end) { return extreme<-1>(begin, end); }
    // First sample of [begin, end) with the least slope; begin of an empty stretch.
    int steepest_fall(int begin, int end) { return steepest<1>(begin, end); }
    int steepest_rise(int begin, int end) { return steepest<-1>(begin, end); }

    // Slopes of the samples from k, V/s, and by how much the trace rises after each, mV.
    INLINE Pack slopes(int k) const { return 1e-3 * rises(k) / (load(plan.t_s + k + 1) - load(plan.t_s + k)); }
    INLINE Pack rises(int k) const { return smooth.pack(k + 1) - smooth.pack(k); }
    // A slope of at least this, V/s, rises by more than `without`, mV; what rises by `with` is as steep.  Between the
    // two, intervals of time and rounding decide.
    struct Rise {
        double without, with;
    };
    Rise rise_for(double slope_V_s) const {
        if (!(slope_V_s > 0)) return {-INFINITY, INFINITY};
        return {(1 - 1e-9) * 1e3 * slope_V_s * plan.least_dt_s, (1 + 1e-9) * 1e3 * slope_V_s * plan.most_dt_s};
    }
    // Bit i: whether the slope at begin + i is at least this; begin < end <= begin + 64.
    Bits steep(int begin, int end, double slope_V_s) const {
        const Rise needed = rise_for(slope_V_s);
        const auto from = [&](double least) {
            return bits(end - begin, [&](int i) { return at_most(all(least), rises(begin + i)); });
        };
        const Bits may = from(needed.without);
        if (!may) return 0;
        Bits found = from(needed.with);
        for (Bits open = may & ~found; open; open &= open - 1)
            if (slope(begin + first_bit(open)) >= slope_V_s) found |= open & -open;
        return found;
    }
    bool falls(int begin, int end) const {  // anywhere
        return first_of(begin, end, [this](int k) { return below(rises(k), all(0)); }) < end;
    }

    // First sample of [begin, end) where test, of a pack that begins at k, holds; else end.
    template <class Test> static INLINE int first_of(int begin, int end, Test test) {
        for (int k = begin; k < end; k += CHUNK)
            if (const Bits found = bits(smaller(end - k, CHUNK), [&](int i) { return test(k + i); }))
                return k + first_bit(found);
        return end;
    }
    // Last one of (begin, end], else begin.
    template <class Test> static INLINE int last_of(int begin, int end, Test test) {
        for (int stop = end + 1; stop > begin + 1; stop -= CHUNK) {
            const int from = larger(begin + 1, stop - CHUNK);
            const Bits found = bits(stop - from, [&](int i) { return test(from + i); });
            if (found) return from + last_bit(found);
        }
        return begin;
    }
    // Calls visit with each tile that has samples of [begin, end) and for which test, of a pack of tiles, holds;
    // the test is asked again after every 64.
    template <class Test, class Visit> static INLINE void for_tiles(int begin, int end, Test test, Visit visit) {
        if (begin >= end) return;
        const int last = (end - 1) / TILE;
        for (int from = begin / TILE; from <= last; from += 64)
            for (Bits open = bits(smaller(64, last + 1 - from), [&](int i) { return test(from + i); }); open;
                 open &= open - 1) {
                const int tile = from + first_bit(open);
                visit(larger(begin, tile * TILE), smaller(end, (tile + 1) * TILE));
            }
    }

    // Reading a trace takes longer than looking at it: the next one comes while this one is worked on.
    INLINE void fetch_ahead() {
        constexpr int LINE = 64, LINES = 24;
        const long left = scratch.ahead_end - scratch.ahead, some = LINE * LINES;
        const char* end = scratch.ahead + (left < some ? left : some);
        for (; scratch.ahead < end; scratch.ahead += LINE) prefetch<2>(scratch.ahead);
    }

  private:
    static constexpr int CHUNK = 16;

    static INLINE void keep_better(Least& found, const Least& other) {
        if (other.value < found.value || (other.value == found.value && other.at < found.at)) found = other;
    }
    template <int SIGN> INLINE Least least_voltage(int begin, int end) const {
        return first_least(begin, end, [this](int k) { return double(SIGN) * v.pack(k); });
    }
    // The likeliest tile first: what it holds rules out nearly all others.
    template <int SIGN> int extreme(int begin, int end) {
        fetch_ahead();
        if (end - begin <= TILE) return least_voltage<SIGN>(begin, end).at;
        const double* low = SIGN > 0 ? bounds.low : bounds.high;
        const auto bound = [=](int tile) { return double(SIGN) * load(low + tile); };
        const int likeliest = first_least(begin / TILE, (end - 1) / TILE + 1, bound).at;
        const int near = larger(begin, likeliest * TILE);
        Least found = least_voltage<SIGN>(near, smaller(end, (likeliest + 1) * TILE));
        for_tiles(begin, end, [&](int tile) { return at_most(bound(tile), all(found.value)); },
                  [&](int from, int stop) { if (from != near) keep_better(found, least_voltage<SIGN>(from, stop)); });
        return found.at;
    }
    // The first sample of a stretch that is not empty with the least slope.  Few are divided by their intervals.
    template <int SIGN> Least least_slope(int begin, int end) const {
        const auto change = [this](int k) { return double(SIGN) * rises(k); };
        Pack low = all(INFINITY);
        for (int k = begin; k < end; k += features::LANES) low = least(only_first(end - k, change(k), INFINITY), low);
        const double lowest = least_lane(low);
        const double most = lowest < 0 ? (1 - 1e-9) * lowest * plan.least_dt_s / plan.most_dt_s : INFINITY;
        Least found{begin, INFINITY};
        for (int from = begin; from < end; from += 64)
            for (Bits open = bits(smaller(64, end - from), [&](int i) { return at_most(change(from + i), all(most)); });
                 open; open &= open - 1)
                if (const int k = from + first_bit(open); SIGN * slope(k) < found.value) found = {k, SIGN * slope(k)};
        return found;
    }
    // Near the begin of the stretch, mostly: what is found there rules out nearly all the rest.
    template <int SIGN> int steepest(int begin, int end) {
        fetch_ahead();
        const int near = smaller(end, begin + TILE / 2);
        Least found = least_slope<SIGN>(begin, near);
        if (near == end) return found.at;
        // A fall is a rise of the trace turned over.
        const auto needed = [&] { return all(rise_for(-found.value).without); };
        const Bounds of = smooth_bounds;
        for_tiles(near, end, [&](int tile) { return at_most(needed(), load(of.high + tile) - load(of.low + tile)); },
                  [&](int from, int stop) { keep_better(found, least_slope<SIGN>(from, stop)); });
        return found.at;
    }
};

}  // namespace ipfx
