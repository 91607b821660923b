TITLE Fast inactivating (transient) potassium current, layer 5 pyramidal cell

COMMENT
Kinetics: Korngreen A, Sakmann B (2000) J Physiol 525:621-639, as used by Hay E, Hill S, Schuermann
F, Markram H, Segev I (2011) PLoS Comput Biol 7:e1002107.
    ik = gbar m^4 h (v - ek),  u = v + 10 mV (liquid junction potential)
    m: inf half 0 mV, slope 19 mV;     tau 0.34 + 0.92 exp(-((u + 71)/59)^2)
    h: inf half -66 mV, slope -10 mV;  tau 8 + 49 exp(-((u + 73)/23)^2)
Time constants in ms at 21 degC, fixed at 34 degC with Q10 = 2.3, whatever celsius is.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX K_Tst
    USEION k READ ek WRITE ik
    RANGE gK_Tstbar, gK_Tst, ik
    RANGE minf, mtau, hinf, htau
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S)  = (siemens)
}

PARAMETER {
    gK_Tstbar = 1e-5 (S/cm2)
}

STATE { m h }

ASSIGNED {
    v      (mV)
    ek     (mV)
    ik     (mA/cm2)
    gK_Tst (S/cm2)
    minf
    hinf
    mtau   (ms)
    htau   (ms)
}

INITIAL {
    kinetics(v)
    m = minf
    h = hinf
}

BREAKPOINT {
    SOLVE gates METHOD cnexp
    gK_Tst = gK_Tstbar * m*m*m*m * h
    ik = gK_Tst * (v - ek)
}

DERIVATIVE gates {
    kinetics(v)
    m' = (minf - m) / mtau
    h' = (hinf - h) / htau
}

UNITSOFF

PROCEDURE kinetics(vm (mV)) {
    LOCAL u, qt, w
    u = vm + 10
    qt = 2.3^((34 - 21)/10)
    w = (u + 71) / 59
    minf = boltzmann(u, 0, 19)
    mtau = (0.34 + 0.92 * exp(-w*w)) / qt
    w = (u + 73) / 23
    hinf = boltzmann(u, -66, -10)
    htau = (8 + 49 * exp(-w*w)) / qt
}

FUNCTION boltzmann(u, half, slope) {
    boltzmann = 1 / (1 + exp((half - u)/slope))
}

UNITSON
