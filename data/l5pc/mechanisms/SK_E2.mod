TITLE Small-conductance calcium-activated potassium current, layer 5 pyramidal cell

COMMENT
Kinetics: Koehler M, Hirschberg B, Bond CT, et al. (1996) Science 273:1709-1714, as used by Hay E,
Hill S, Schuermann F, Markram H, Segev I (2011) PLoS Comput Biol 7:e1002107.
    ik = gbar z (v - ek)
    z: inf 1 / (1 + (0.00043 mM / cai)^4.8), tau zTau = 1 ms
No temperature correction.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX SK_E2
    USEION k READ ek WRITE ik
    USEION ca READ cai
    RANGE gSK_E2bar, gSK_E2, ik
    RANGE zinf
    GLOBAL zTau
}

UNITS {
    (molar) = (1/liter)
    (mM) = (millimolar)
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S)  = (siemens)
}

PARAMETER {
    gSK_E2bar = 1e-6 (S/cm2)
    zTau = 1 (ms)
}

STATE { z }

ASSIGNED {
    v      (mV)
    ek     (mV)
    cai    (mM)
    ik     (mA/cm2)
    gSK_E2 (S/cm2)
    zinf
}

INITIAL {
    kinetics(cai)
    z = zinf
}

BREAKPOINT {
    SOLVE gates METHOD cnexp
    gSK_E2 = gSK_E2bar * z
    ik = gSK_E2 * (v - ek)
}

DERIVATIVE gates {
    kinetics(cai)
    z' = (zinf - z) / zTau
}

UNITSOFF

: below 1e-7 mM the channel is shut (zinf < 1e-17); this also keeps the power defined
PROCEDURE kinetics(conc (mM)) {
    if (conc < 1e-7) {
        zinf = 0
    } else {
        zinf = 1 / (1 + (0.00043/conc)^4.8)
    }
}

UNITSON
