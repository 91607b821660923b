// Two vectors side by side: two nodes of a class in one go, so that what they share is loaded once and neither waits
// for the other.  Everything that lanes.hpp does to a V.
#pragma once

struct M2 {
    M a, b;
    INLINE_MEMBER M2() {}
    INLINE_MEMBER M2(M both) : a(both), b(both) {}
    INLINE_MEMBER M2(M one, M other) : a(one), b(other) {}
    friend INLINE_MEMBER M2 operator&(M2 x, M2 y) { return {M(x.a & y.a), M(x.b & y.b)}; }
    friend INLINE_MEMBER M2 operator|(M2 x, M2 y) { return {M(x.a | y.a), M(x.b | y.b)}; }
};

struct I2 {
    I a, b;
};

struct V2 {
    V a, b;
    INLINE_MEMBER V2() {}
    INLINE_MEMBER V2(V both) : a(both), b(both) {}
#if HPCFIT_LANES > 1
    INLINE_MEMBER V2(R both) : a(c(both)), b(a) {}
#endif
    INLINE_MEMBER V2(V one, V other) : a(one), b(other) {}
    INLINE_MEMBER V2& operator+=(V2 y) { return a += y.a, b += y.b, *this; }
    INLINE_MEMBER V2& operator-=(V2 y) { return a -= y.a, b -= y.b, *this; }
    friend INLINE_MEMBER V2 operator-(V2 x) { return {-x.a, -x.b}; }
#define HPCFIT_PAIRED(result, symbol) \
    friend INLINE_MEMBER result operator symbol(V2 x, V2 y) { return {x.a symbol y.a, x.b symbol y.b}; }
    HPCFIT_PAIRED(V2, +)
    HPCFIT_PAIRED(V2, -)
    HPCFIT_PAIRED(V2, *)
    HPCFIT_PAIRED(V2, /)
    HPCFIT_PAIRED(M2, <)
    HPCFIT_PAIRED(M2, <=)
    HPCFIT_PAIRED(M2, >)
    HPCFIT_PAIRED(M2, >=)
    HPCFIT_PAIRED(M2, ==)
    HPCFIT_PAIRED(M2, !=)
#undef HPCFIT_PAIRED
};

INLINE V2 choose(M2 test, V2 yes, V2 no) { return {choose(test.a, yes.a, no.a), choose(test.b, yes.b, no.b)}; }
INLINE V2 pow_(V2 x, V2 y) { return {pow_(x.a, y.a), pow_(x.b, y.b)}; }
INLINE V2 atan2_(V2 x, V2 y) { return {atan2_(x.a, y.a), atan2_(x.b, y.b)}; }
INLINE V2 fmod_(V2 x, V2 y) { return {fmod_(x.a, y.a), fmod_(x.b, y.b)}; }
INLINE M2 not_(M2 test) { return {not_(test.a), not_(test.b)}; }
INLINE bool any_(M2 test) { return any_(test.a | test.b); }
#define HPCFIT_PAIRED(name) \
    INLINE V2 name(V2 x) { return {name(x.a), name(x.b)}; }
HPCFIT_PAIRED(fabs_)
HPCFIT_PAIRED(exp_)
HPCFIT_PAIRED(expm1_)
HPCFIT_PAIRED(log_)
HPCFIT_PAIRED(sqrt_)
HPCFIT_PAIRED(log10_)
HPCFIT_PAIRED(sin_)
HPCFIT_PAIRED(cos_)
HPCFIT_PAIRED(tan_)
HPCFIT_PAIRED(tanh_)
HPCFIT_PAIRED(sinh_)
HPCFIT_PAIRED(cosh_)
HPCFIT_PAIRED(floor_)
HPCFIT_PAIRED(ceil_)
HPCFIT_PAIRED(asin_)
HPCFIT_PAIRED(acos_)
HPCFIT_PAIRED(atan_)
HPCFIT_PAIRED(erf_)
#undef HPCFIT_PAIRED

INLINE V2 looked_up(const R* table, int count, R low, R per_unit, V2 x) {
    return {looked_up(table, count, low, per_unit, x.a), looked_up(table, count, low, per_unit, x.b)};
}
