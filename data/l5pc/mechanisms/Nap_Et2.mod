TITLE Persistent sodium current of the axon, layer 5 pyramidal cell

COMMENT
Kinetics: Magistretti J, Alonso A (1999) J Gen Physiol 114:491-509, as used by Hay E, Hill S,
Schuermann F, Markram H, Segev I (2011) PLoS Comput Biol 7:e1002107.
The time constant of activation is 6 times that of NaTa_t.
    ina = gbar m^3 h (v - ena)
    m: inf half -52.6 mV, slope 4.6 mV
       tau 6 / (0.182 L(-(v + 38), 6) + 0.124 L(v + 38, 6))  ms at 21 degC
    h: inf half -48.8 mV, slope -10 mV
       tau 1 / (2.88e-6 L(v + 17, 4.63) + 6.94e-6 L(-(v + 64.4), 2.63))  ms at 21 degC
with L(x, k) = x / (exp(x/k) - 1).  Rates are fixed at 34 degC with Q10 = 2.3, whatever celsius is.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX Nap_Et2
    USEION na READ ena WRITE ina
    RANGE gNap_Et2bar, gNap_Et2, ina
    RANGE minf, mtau, hinf, htau
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S)  = (siemens)
}

PARAMETER {
    gNap_Et2bar = 1e-5 (S/cm2)
}

STATE { m h }

ASSIGNED {
    v        (mV)
    ena      (mV)
    ina      (mA/cm2)
    gNap_Et2 (S/cm2)
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
    gNap_Et2 = gNap_Et2bar * m*m*m * h
    ina = gNap_Et2 * (v - ena)
}

DERIVATIVE gates {
    kinetics(v)
    m' = (minf - m) / mtau
    h' = (hinf - h) / htau
}

UNITSOFF

PROCEDURE kinetics(u (mV)) {
    LOCAL qt
    qt = 2.3^((34 - 21)/10)
    minf = boltzmann(u, -52.6, 4.6)
    mtau = 6 / (qt * (0.182 * linoid(-(u + 38), 6) + 0.124 * linoid(u + 38, 6)))
    hinf = boltzmann(u, -48.8, -10)
    htau = 1 / (qt * (2.88e-6 * linoid(u + 17, 4.63) + 6.94e-6 * linoid(-(u + 64.4), 2.63)))
}

FUNCTION boltzmann(u, half, slope) {
    boltzmann = 1 / (1 + exp((half - u)/slope))
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
