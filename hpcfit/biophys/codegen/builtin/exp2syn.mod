TITLE Synapse whose conductance is a difference of two exponentials

COMMENT
NEURON's own `Exp2Syn`, for which it ships no source: the conductance is decaying minus rising, both started by an event
and scaled so that its peak is the event's weight.  The rise time is kept below the decay time, and above nothing.
ENDCOMMENT

NEURON {
    POINT_PROCESS Exp2Syn
    NONSPECIFIC_CURRENT i
    RANGE tau1, tau2, e, i, g
}

PARAMETER {
    tau1 = .1 (ms)
    tau2 = 10 (ms)
    e = 0 (mV)
}

STATE {
    A (uS)
    B (uS)
}

ASSIGNED {
    v (mV)
    i (nA)
    g (uS)
    factor
}

INITIAL {
    LOCAL peak
    if (tau1/tau2 > 0.9999) {
        tau1 = 0.9999*tau2
    }
    if (tau1/tau2 < 1e-9) {
        tau1 = tau2*1e-9
    }
    peak = tau1*tau2/(tau2 - tau1) * log(tau2/tau1)
    factor = 1/(exp(-peak/tau2) - exp(-peak/tau1))
    A = 0
    B = 0
}

BREAKPOINT {
    SOLVE two METHOD cnexp
    g = B - A
    i = g * (v - e)
}

DERIVATIVE two {
    A' = -A / tau1
    B' = -B / tau2
}

NET_RECEIVE(weight (uS)) {
    A = A + weight*factor
    B = B + weight*factor
}
