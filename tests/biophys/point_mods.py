"""Small point processes, each with something that an engine can get wrong.  Written for these tests."""

CLAMP = """
NEURON { POINT_PROCESS TClamp ELECTRODE_CURRENT i RANGE del, dur, amp, i }
PARAMETER { del (ms) dur (ms) amp (nA) }
ASSIGNED { i (nA) }
INITIAL { i = 0 }
BREAKPOINT {
    at_time(del)
    at_time(del + dur)
    if (t < del + dur && t >= del) { i = amp } else { i = 0 }
}
"""
SINE = """
NEURON { POINT_PROCESS TSine ELECTRODE_CURRENT i RANGE del, dur, amp, freq, offset GLOBAL phase }
UNITS { PI = (pi) (1) }
PARAMETER { del (ms) dur (ms) amp (nA) freq = 50 (/s) offset (nA) phase = 0.4 }
ASSIGNED { i (nA) }
BREAKPOINT {
    if (at_time(del)) { i = 0 }
    if (t < del) {
        i = 0
    } else if (t < del + dur) {
        i = offset + amp*sin(2*PI*freq*(t - del)*1e-3 + phase)
    } else {
        i = 0
    }
}
"""
TIMED = """
NEURON { POINT_PROCESS TTimed NONSPECIFIC_CURRENT i RANGE rate, i }
PARAMETER { rate = 0.1 (/ms) }
STATE { s }
ASSIGNED { v (mV) i (nA) area (micron2) diam (micron) }
INITIAL { s = 0 }
BREAKPOINT { SOLVE grow METHOD cnexp  i = -s*area*diam*1e-5*(1 - v/100) }
DERIVATIVE grow { s' = rate*(sin(t/3) - s) }
"""
NMDA = """
NEURON {
    POINT_PROCESS TNmda
    USEION ca READ cai, eca WRITE ica
    NONSPECIFIC_CURRENT i
    RANGE tau1, tau2, e, mg, share, plastic
}
PARAMETER { tau1 = 0.6 (ms) tau2 = 13 (ms) e = 0 (mV) mg = 1 (mM) share = 0.1 plastic = 2 }
STATE { a b }
ASSIGNED { v (mV) i (nA) ica (nA) eca (mV) cai (mM) norm block gain }
INITIAL { LOCAL tp
    a = 0 b = 0 gain = 1
    tp = tau1*tau2/(tau2 - tau1)*log(tau2/tau1)
    norm = 1/(exp(-tp/tau2) - exp(-tp/tau1))
}
BREAKPOINT { SOLVE decay METHOD cnexp
    block = 1/(1 + mg/3.57*exp(-0.062*v))
    i = (1 - share)*gain*(b - a)*block*(v - e)
    ica = share*gain*(b - a)*block*(v - eca)
}
DERIVATIVE decay { a' = -a/tau1  b' = -b/tau2 }
NET_RECEIVE(w (uS), last (ms), hits) {
    INITIAL { last = -1e3 hits = 0 }
    gain = 1 + cai*1e3*plastic/(1 + exp((v + 60)/20))*exp(-(t - last)/40)
    if (hits > 1 && t - last < 3) { w = w*0.9 }
    a = a + w*norm
    b = b + w*norm
    hits = hits + 1
    last = t
}
"""
POOL = """
NEURON { POINT_PROCESS TPool USEION ca READ cai WRITE cai NONSPECIFIC_CURRENT none RANGE tau, rest, none }
PARAMETER { tau = 20 (ms) rest = 2e-4 (mM) }
STATE { cai (mM) }
ASSIGNED { none (nA) }
INITIAL { cai = rest }
BREAKPOINT { SOLVE decay METHOD cnexp  none = 0 }
DERIVATIVE decay { cai' = (rest - cai)/tau }
NET_RECEIVE(w (mM)) { cai = cai + w }
"""
PULSE = """
NEURON { POINT_PROCESS TPulse NONSPECIFIC_CURRENT i RANGE cdur, alpha, beta, e, early }
PARAMETER { cdur = 1.1 (ms) alpha = 1.1 beta = 0.19 e = 0 early = 2.5 }
STATE { ron roff }
ASSIGNED { v i synon rinf rtau }
INITIAL {
    rinf = alpha/(alpha + beta)
    rtau = 1/(alpha + beta)
    synon = 0
    ron = 0
    roff = 0
    if (early > 0) { net_send(early, -3) }
}
BREAKPOINT { SOLVE release METHOD cnexp  i = (ron + roff)*(v - e) }
DERIVATIVE release { ron' = (synon*rinf - ron)/rtau  roff' = -beta*roff }
NET_RECEIVE(weight, on, nspike, r0, t0 (ms)) {
    if (flag == -3) {
        roff = roff + 0.01
    } else {
        if (flag == 0) {
            nspike = nspike + 1
            if (!on) {
                r0 = r0*exp(-beta*(t - t0))
                t0 = t
                on = 1
                synon = synon + weight
                state_discontinuity(ron, ron + r0)
                state_discontinuity(roff, roff - r0)
            }
            net_send(cdur, nspike)
        }
        if (flag == nspike) {
            r0 = weight*rinf + (r0 - weight*rinf)*exp(-(t - t0)/rtau)
            t0 = t
            synon = synon - weight
            ron = ron - r0
            roff = roff + r0
            on = 0
        }
        net_event(t)
    }
}
"""
ALL = {"TClamp": CLAMP, "TSine": SINE, "TTimed": TIMED, "TNmda": NMDA, "TPool": POOL, "TPulse": PULSE}
