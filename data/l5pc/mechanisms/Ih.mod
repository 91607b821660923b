TITLE Hyperpolarisation-activated cation current, layer 5 pyramidal cell

COMMENT
Kinetics: Kole MHP, Hallermann S, Stuart GJ (2006) J Neurosci 26:1677-1687, as used by Hay E, Hill
S, Schuermann F, Markram H, Segev I (2011) PLoS Comput Biol 7:e1002107.
    ihcn = gbar m (v - ehcn)
    m: alpha 0.00643 L(v + 154.9, 11.9), beta 0.193 exp(v/33.1)  per ms
with L(x, k) = x / (exp(x/k) - 1).  No temperature correction.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX Ih
    NONSPECIFIC_CURRENT ihcn
    RANGE gIhbar, gIh, ihcn
    RANGE minf, mtau
    GLOBAL ehcn
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S)  = (siemens)
}

PARAMETER {
    gIhbar = 1e-5 (S/cm2)
    ehcn = -45 (mV)
}

STATE { m }

ASSIGNED {
    v    (mV)
    ihcn (mA/cm2)
    gIh  (S/cm2)
    minf
    mtau (ms)
}

INITIAL {
    kinetics(v)
    m = minf
}

BREAKPOINT {
    SOLVE gates METHOD cnexp
    gIh = gIhbar * m
    ihcn = gIh * (v - ehcn)
}

DERIVATIVE gates {
    kinetics(v)
    m' = (minf - m) / mtau
}

UNITSOFF

PROCEDURE kinetics(u (mV)) {
    LOCAL a, b
    a = 0.00643 * linoid(u + 154.9, 11.9)
    b = 0.193 * exp(u/33.1)
    minf = a / (a + b)
    mtau = 1 / (a + b)
}

: x / (exp(x/k) - 1), continued through x = 0 by its series
FUNCTION linoid(x, k) {
    LOCAL z
    z = x / k
    if (fabs(z) < 1e-3) {
        linoid = k * (1 - z/2 + z*z/12)
    } else {
        linoid = x / (exp(z) - 1)
    }
}

UNITSON
