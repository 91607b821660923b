TITLE Muscarinic (M-type) potassium current, layer 5 pyramidal cell

COMMENT
Kinetics: Adams PR, Brown DA, Constanti A (1982) J Physiol 330:537-572, as used by Hay E, Hill S,
Schuermann F, Markram H, Segev I (2011) PLoS Comput Biol 7:e1002107.
    ik = gbar m (v - ek)
    m: alpha 0.0033 exp((v + 35)/10), beta 0.0033 exp(-(v + 35)/10)  per ms at 21 degC
Rates are fixed at 34 degC with Q10 = 2.3, whatever celsius is.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX Im
    USEION k READ ek WRITE ik
    RANGE gImbar, gIm, ik
    RANGE minf, mtau
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S)  = (siemens)
}

PARAMETER {
    gImbar = 1e-5 (S/cm2)
}

STATE { m }

ASSIGNED {
    v    (mV)
    ek   (mV)
    ik   (mA/cm2)
    gIm  (S/cm2)
    minf
    mtau (ms)
}

INITIAL {
    kinetics(v)
    m = minf
}

BREAKPOINT {
    SOLVE gates METHOD cnexp
    gIm = gImbar * m
    ik = gIm * (v - ek)
}

DERIVATIVE gates {
    kinetics(v)
    m' = (minf - m) / mtau
}

UNITSOFF

PROCEDURE kinetics(u (mV)) {
    LOCAL qt, a, b
    qt = 2.3^((34 - 21)/10)
    a = 0.0033 * exp(0.1*(u + 35))
    b = 0.0033 * exp(-0.1*(u + 35))
    minf = a / (a + b)
    mtau = 1 / (qt * (a + b))
}

UNITSON
