TITLE High-voltage activated calcium current, layer 5 pyramidal cell

COMMENT
Kinetics: Reuveni I, Friedman A, Amitai Y, Gutnick MJ (1993) J Neurosci 13:4609-4621, as used by Hay
E, Hill S, Schuermann F, Markram H, Segev I (2011) PLoS Comput Biol 7:e1002107.
    ica = gbar m^2 h (v - eca)
    m: alpha 0.055 L(-(v + 27), 3.8), beta 0.94 exp(-(v + 75)/17)                   per ms
    h: alpha 0.000457 exp(-(v + 13)/50), beta 0.0065 / (1 + exp(-(v + 15)/28))      per ms
with L(x, k) = x / (exp(x/k) - 1).  No temperature correction.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX Ca_HVA
    USEION ca READ eca WRITE ica
    RANGE gCa_HVAbar, gCa_HVA, ica
    RANGE minf, mtau, hinf, htau
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S)  = (siemens)
}

PARAMETER {
    gCa_HVAbar = 1e-5 (S/cm2)
}

STATE { m h }

ASSIGNED {
    v       (mV)
    eca     (mV)
    ica     (mA/cm2)
    gCa_HVA (S/cm2)
    minf
    hinf
    mtau    (ms)
    htau    (ms)
}

INITIAL {
    kinetics(v)
    m = minf
    h = hinf
}

BREAKPOINT {
    SOLVE gates METHOD cnexp
    gCa_HVA = gCa_HVAbar * m*m * h
    ica = gCa_HVA * (v - eca)
}

DERIVATIVE gates {
    kinetics(v)
    m' = (minf - m) / mtau
    h' = (hinf - h) / htau
}

UNITSOFF

PROCEDURE kinetics(u (mV)) {
    LOCAL a, b
    a = 0.055 * linoid(-(u + 27), 3.8)
    b = 0.94 * exp(-(u + 75)/17)
    minf = a / (a + b)
    mtau = 1 / (a + b)
    a = 0.000457 * exp(-(u + 13)/50)
    b = 0.0065 / (1 + exp(-(u + 15)/28))
    hinf = a / (a + b)
    htau = 1 / (a + b)
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
