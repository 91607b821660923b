TITLE Calcium concentration in a shell under the membrane, layer 5 pyramidal cell

COMMENT
Model: Destexhe A, Contreras D, Sejnowski TJ, Steriade M (1994) J Neurophysiol 72:803-818 (a shell
with first-order removal), as used by Hay E, Hill S, Schuermann F, Markram H, Segev I (2011) PLoS
Comput Biol 7:e1002107.
    d cai/dt = -gamma ica / (2 F depth) - (cai - minCai) / decay
gamma is the fraction of calcium that stays unbuffered, depth the thickness of the shell.
1e4 turns mA/cm2 over (C/mol um) into mM/ms.  The concentration starts at caiStart, which equals
NEURON's default for calcium (5e-5 mM) and lies below the resting value minCai.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX CaDynamics_E2
    USEION ca READ ica WRITE cai
    RANGE gamma, decay, depth, minCai
    GLOBAL caiStart
}

UNITS {
    (molar) = (1/liter)
    (mM) = (millimolar)
    (um) = (micron)
    (mA) = (milliamp)
    F = (faraday) (coulombs)
}

PARAMETER {
    gamma = 0.05
    decay = 80 (ms)
    depth = 0.1 (um)
    minCai = 1e-4 (mM)
    caiStart = 5e-5 (mM)
}

STATE { cai (mM) }

ASSIGNED { ica (mA/cm2) }

INITIAL {
    cai = caiStart
}

BREAKPOINT {
    SOLVE shell METHOD cnexp
}

DERIVATIVE shell {
    cai' = -(1e4) * ica * gamma / (2 * F * depth) - (cai - minCai) / decay
}
