TITLE Low-voltage activated calcium current, layer 5 pyramidal cell

COMMENT
Kinetics: steady states from Avery RB, Johnston D (1996) J Neurosci 16:5567-5582, time constants
read from the figures of Randall AD, Tsien RW (1997) Neuropharmacology 36:879-893, as used by Hay E,
Hill S, Schuermann F, Markram H, Segev I (2011) PLoS Comput Biol 7:e1002107.
    ica = gbar m^2 h (v - eca),  u = v + 10 mV (liquid junction potential)
    m: inf half -30 mV, slope 6 mV;     tau 5 + 20 / (1 + exp((u + 25)/5))
    h: inf half -80 mV, slope -6.4 mV;  tau 20 + 50 / (1 + exp((u + 40)/7))
Time constants in ms at 21 degC, fixed at 34 degC with Q10 = 2.3, whatever celsius is.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX Ca_LVAst
    USEION ca READ eca WRITE ica
    RANGE gCa_LVAstbar, gCa_LVAst, ica
    RANGE minf, mtau, hinf, htau
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S)  = (siemens)
}

PARAMETER {
    gCa_LVAstbar = 1e-5 (S/cm2)
}

STATE { m h }

ASSIGNED {
    v         (mV)
    eca       (mV)
    ica       (mA/cm2)
    gCa_LVAst (S/cm2)
    minf
    hinf
    mtau      (ms)
    htau      (ms)
}

INITIAL {
    kinetics(v)
    m = minf
    h = hinf
}

BREAKPOINT {
    SOLVE gates METHOD cnexp
    gCa_LVAst = gCa_LVAstbar * m*m * h
    ica = gCa_LVAst * (v - eca)
}

DERIVATIVE gates {
    kinetics(v)
    m' = (minf - m) / mtau
    h' = (hinf - h) / htau
}

UNITSOFF

PROCEDURE kinetics(vm (mV)) {
    LOCAL u, qt
    u = vm + 10
    qt = 2.3^((34 - 21)/10)
    minf = boltzmann(u, -30, 6)
    mtau = (5 + 20 * boltzmann(u, -25, -5)) / qt
    hinf = boltzmann(u, -80, -6.4)
    htau = (20 + 50 * boltzmann(u, -40, -7)) / qt
}

FUNCTION boltzmann(u, half, slope) {
    boltzmann = 1 / (1 + exp((half - u)/slope))
}

UNITSON
