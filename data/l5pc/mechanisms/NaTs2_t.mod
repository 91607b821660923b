TITLE Transient sodium current of soma and dendrites, layer 5 pyramidal cell

COMMENT
Kinetics: Colbert CM, Pan E (2002) Nat Neurosci 5:533-538, as used by Hay E, Hill S, Schuermann F,
Markram H, Segev I (2011) PLoS Comput Biol 7:e1002107: the axonal current NaTa_t with activation and
inactivation both moved 6 mV towards depolarisation.
    ina = gbar m^3 h (v - ena)
    m: alpha 0.182 L(-(v + 32), 6), beta 0.124 L(v + 32, 6)     per ms at 21 degC
    h: alpha 0.015 L(v + 60, 6),    beta 0.015 L(-(v + 60), 6)  per ms at 21 degC
with L(x, k) = x / (exp(x/k) - 1).  Rates are fixed at 34 degC with Q10 = 2.3, whatever celsius is.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX NaTs2_t
    USEION na READ ena WRITE ina
    RANGE gNaTs2_tbar, gNaTs2_t, ina
    RANGE minf, mtau, hinf, htau
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S)  = (siemens)
}

PARAMETER {
    gNaTs2_tbar = 1e-5 (S/cm2)
}

STATE { m h }

ASSIGNED {
    v        (mV)
    ena      (mV)
    ina      (mA/cm2)
    gNaTs2_t (S/cm2)
    minf
    hinf
    mtau     (ms)
    htau     (ms)
}

INITIAL {
    kinetics(v)
    m = minf
    h = hinf
}

BREAKPOINT {
    SOLVE gates METHOD cnexp
    gNaTs2_t = gNaTs2_tbar * m*m*m * h
    ina = gNaTs2_t * (v - ena)
}

DERIVATIVE gates {
    kinetics(v)
    m' = (minf - m) / mtau
    h' = (hinf - h) / htau
}

UNITSOFF

PROCEDURE kinetics(u (mV)) {
    LOCAL qt, a, b
    qt = 2.3^((34 - 21)/10)
    a = 0.182 * linoid(-(u + 32), 6)
    b = 0.124 * linoid(u + 32, 6)
    minf = a / (a + b)
    mtau = 1 / (qt * (a + b))
    a = 0.015 * linoid(u + 60, 6)
    b = 0.015 * linoid(-(u + 60), 6)
    hinf = a / (a + b)
    htau = 1 / (qt * (a + b))
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
