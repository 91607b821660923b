TITLE Slowly inactivating (persistent) potassium current, layer 5 pyramidal cell

COMMENT
Kinetics: Korngreen A, Sakmann B (2000) J Physiol 525:621-639, as used by Hay E, Hill S, Schuermann
F, Markram H, Segev I (2011) PLoS Comput Biol 7:e1002107.
    ik = gbar m^2 h (v - ek),  u = v + 10 mV (liquid junction potential)
    m: inf half -1 mV, slope 12 mV;  tau 1.25 + 175.03 exp(0.026 u) below u = -50 mV,
       1.25 + 13 exp(-0.026 u) from there on (the branches meet to 3e-4 ms)
    h: inf half -54 mV, slope -11 mV;  tau 360 + (1010 + 24 (u + 55)) exp(-((u + 75)/48)^2)
Time constants in ms at 21 degC, fixed at 34 degC with Q10 = 2.3, whatever celsius is.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX K_Pst
    USEION k READ ek WRITE ik
    RANGE gK_Pstbar, gK_Pst, ik
    RANGE minf, mtau, hinf, htau
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S)  = (siemens)
}

PARAMETER {
    gK_Pstbar = 1e-5 (S/cm2)
}

STATE { m h }

ASSIGNED {
    v      (mV)
    ek     (mV)
    ik     (mA/cm2)
    gK_Pst (S/cm2)
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
    gK_Pst = gK_Pstbar * m*m * h
    ik = gK_Pst * (v - ek)
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
    minf = boltzmann(u, -1, 12)
    if (u < -50) {
        mtau = (1.25 + 175.03 * exp(0.026*u)) / qt
    } else {
        mtau = (1.25 + 13 * exp(-0.026*u)) / qt
    }
    w = (u + 75) / 48
    hinf = boltzmann(u, -54, -11)
    htau = (360 + (1010 + 24*(u + 55)) * exp(-w*w)) / qt
}

FUNCTION boltzmann(u, half, slope) {
    boltzmann = 1 / (1 + exp((half - u)/slope))
}

UNITSON
