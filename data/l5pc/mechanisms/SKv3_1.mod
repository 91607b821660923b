TITLE Fast, non-inactivating Kv3.1 potassium current, layer 5 pyramidal cell

COMMENT
Kinetics: Rettig J, Wunder F, Stocker M, et al. (1992) EMBO J 11:2473-2486, as used by Hay E, Hill
S, Schuermann F, Markram H, Segev I (2011) PLoS Comput Biol 7:e1002107.
    ik = gbar m (v - ek)
    m: inf half 18.7 mV, slope 9.7 mV;  tau 4 / (1 + exp(-(v + 46.56)/44.14)) ms
No temperature correction.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX SKv3_1
    USEION k READ ek WRITE ik
    RANGE gSKv3_1bar, gSKv3_1, ik
    RANGE minf, mtau
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S)  = (siemens)
}

PARAMETER {
    gSKv3_1bar = 1e-5 (S/cm2)
}

STATE { m }

ASSIGNED {
    v       (mV)
    ek      (mV)
    ik      (mA/cm2)
    gSKv3_1 (S/cm2)
    minf
    mtau    (ms)
}

INITIAL {
    kinetics(v)
    m = minf
}

BREAKPOINT {
    SOLVE gates METHOD cnexp
    gSKv3_1 = gSKv3_1bar * m
    ik = gSKv3_1 * (v - ek)
}

DERIVATIVE gates {
    kinetics(v)
    m' = (minf - m) / mtau
}

UNITSOFF

PROCEDURE kinetics(u (mV)) {
    minf = boltzmann(u, 18.7, 9.7)
    mtau = 4 * boltzmann(u, -46.56, 44.14)
}

FUNCTION boltzmann(u, half, slope) {
    boltzmann = 1 / (1 + exp((half - u)/slope))
}

UNITSON
