TITLE Squid sodium, potassium and leak currents

COMMENT
Hodgkin AL, Huxley AF (1952) J Physiol 117:500-544, shifted to a rest of -65 mV, Q10 = 3 from 6.3 degC: NEURON's own
`hh`, for which it ships no source.  As there, the rates come from a table of 201 voltages where tables are honoured.
ENDCOMMENT

NEURON {
    SUFFIX hh
    USEION na READ ena WRITE ina
    USEION k READ ek WRITE ik
    NONSPECIFIC_CURRENT il
    RANGE gnabar, gkbar, gl, el, gna, gk
}

PARAMETER {
    gnabar = .12 (S/cm2)
    gkbar = .036 (S/cm2)
    gl = .0003 (S/cm2)
    el = -54.3 (mV)
}

STATE { m h n }

ASSIGNED {
    v (mV)
    celsius (degC)
    ena (mV)
    ek (mV)
    ina (mA/cm2)
    ik (mA/cm2)
    il (mA/cm2)
    gna (S/cm2)
    gk (S/cm2)
    minf hinf ninf
    mtau (ms) htau (ms) ntau (ms)
}

INITIAL {
    kinetics(v)
    m = minf
    h = hinf
    n = ninf
}

BREAKPOINT {
    SOLVE gates METHOD cnexp
    gna = gnabar * m*m*m * h
    gk = gkbar * n*n*n*n
    ina = gna * (v - ena)
    ik = gk * (v - ek)
    il = gl * (v - el)
}

DERIVATIVE gates {
    kinetics(v)
    m' = (minf - m) / mtau
    h' = (hinf - h) / htau
    n' = (ninf - n) / ntau
}

UNITSOFF

PROCEDURE kinetics(u (mV)) {
    LOCAL q, a, b
    TABLE minf, mtau, hinf, htau, ninf, ntau DEPEND celsius FROM -100 TO 100 WITH 200
    q = 3^((celsius - 6.3)/10)
    a = .1 * linoid(-(u + 40), 10)
    b = 4 * exp(-(u + 65)/18)
    minf = a / (a + b)
    mtau = 1 / (q * (a + b))
    a = .07 * exp(-(u + 65)/20)
    b = 1 / (exp(-(u + 35)/10) + 1)
    hinf = a / (a + b)
    htau = 1 / (q * (a + b))
    a = .01 * linoid(-(u + 55), 10)
    b = .125 * exp(-(u + 65)/80)
    ninf = a / (a + b)
    ntau = 1 / (q * (a + b))
}

: x / (exp(x/y) - 1), continued through x = 0 by its series
FUNCTION linoid(x, y) {
    LOCAL z
    z = x / y
    if (fabs(z) < 1e-6) {
        linoid = y * (1 - z/2)
    } else {
        linoid = x / (exp(z) - 1)
    }
}

UNITSON
