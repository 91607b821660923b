"""Small mechanisms, each with a construct that a front end can get wrong.  Written for these tests."""

KINETIC = """
NEURON { SUFFIX tkin NONSPECIFIC_CURRENT i RANGE g, i }
PARAMETER { g = 1e-4 (S/cm2) total = 1 }
STATE { c1 c2 o z }
ASSIGNED { v (mV) i (mA/cm2) kf kb }
INITIAL { c1 = 1 rates(v) SOLVE scheme STEADYSTATE sparse }
BREAKPOINT { SOLVE scheme METHOD sparse  i = g*o*(v + 10) }
KINETIC scheme {
    LOCAL slow
    rates(v)
    slow = 0.3
    ~ c1 <-> c2 (2*kf, kb)
    ~ c2 <-> o (kf, 2*kb)
    ~ o <-> z (slow, slow/4)
    CONSERVE c1 + c2 + o + z = total
}
PROCEDURE rates(u (mV)) {
    TABLE kf, kb FROM -100 TO 100 WITH 200
    kf = exp((u + 20)/25) kb = exp(-(u + 30)/18)
}
"""
BUFFER = """
NEURON { SUFFIX tbuf USEION ca READ ica WRITE cai RANGE on }
UNITS { FARADAY = (faraday) (coulomb) }
PARAMETER { on = 50 off = 0.05 volume = 2 }
STATE { cai (mM) free (mM) bound (mM) }
ASSIGNED { ica (mA/cm2) diam (um) }
INITIAL { cai = 1e-3 free = 0.02 bound = 0.001 }
BREAKPOINT { SOLVE scheme METHOD sparse }
KINETIC scheme {
    COMPARTMENT volume { cai }
    ~ cai << (-ica*1e4/(2*FARADAY*diam) + 1e-4)
    ~ cai + free <-> bound (on, off)
    ~ cai -> (0.01)
}
"""
IMPLICIT = """
NEURON { SUFFIX timp NONSPECIFIC_CURRENT i RANGE g, i }
PARAMETER { g = 1e-4 }
STATE { xx yy w }
ASSIGNED { v i alpha }
INITIAL { xx = 0.1 yy = 0.9 w = 2 }
BREAKPOINT { SOLVE eqs METHOD derivimplicit  i = g*xx*yy*(v + 65) }
DERIVATIVE eqs {
    alpha = 1/(1 + exp(-(v + 40)/9))
    xx' = alpha*(1 - xx) - 0.5*xx*yy
    yy' = (xx - yy)/3 - yy*yy*yy
    w' = -xx*sqrt(w)
}
"""
LINEAR_IMPLICIT = """
NEURON { SUFFIX tlin NONSPECIFIC_CURRENT i RANGE i }
STATE { xx yy }
ASSIGNED { v i }
INITIAL { xx = 1 yy = 0.25 }
BREAKPOINT { SOLVE eqs METHOD derivimplicit  i = 1e-4*(xx - yy)*(v + 65) }
DERIVATIVE eqs { LOCAL a
    if (v > -40) { a = 2 } else { a = 0.5 }
    xx' = a*(yy - xx)
    yy' = a*(xx - yy) - yy/7
}
"""
LINEAR = """
NEURON { SUFFIX tsys NONSPECIFIC_CURRENT i RANGE i }
STATE { open shut dull }
ASSIGNED { v i a }
INITIAL { a = exp(v/40) SOLVE start }
BREAKPOINT { SOLVE scheme METHOD sparse  i = 1e-4*open*(v + 65) }
LINEAR start {
    ~ open + shut + dull = 1
    ~ a*shut - 2*open = 0
    ~ shut*0.1 - dull = 0
}
KINETIC scheme { a = exp(v/40)  ~ shut <-> open (a, 2)  ~ shut <-> dull (0.1, 1) }
"""
EULER = """
NEURON { SUFFIX teul RANGE tau }
PARAMETER { tau = 3 }
STATE { p q }
ASSIGNED { v }
INITIAL { p = 1 q = v/100 }
BREAKPOINT { SOLVE eqs METHOD euler }
DERIVATIVE eqs { p' = -q/tau  q' = p*p/tau }
"""
GHK = """
NEURON { SUFFIX tghk USEION ca READ cai, cao WRITE ica RANGE p, ica }
UNITS { F = (faraday) (coulomb) R = (k-mole) (joule/degC) }
PARAMETER { p = 1e-5 (cm/s) celsius (degC) }
STATE { m }
ASSIGNED { v (mV) ica (mA/cm2) cai (mM) cao (mM) }
INITIAL { m = inf(v) }
BREAKPOINT { SOLVE eqs METHOD cnexp  ica = p*m*m*ghk(v, cai, cao) }
DERIVATIVE eqs { m' = (inf(v) - m)/tau(v) }
FUNCTION inf(v (mV)) { inf = 1/(1 + exp(-(v + 21)/6.3)) }
FUNCTION tau(v (mV)) { if (v < -30 && v > -80 || v == 12) { tau = 3 } else if (v >= 0) { tau = 1 } else { tau = 0.2 } }
FUNCTION ghk(v (mV), ci (mM), co (mM)) { LOCAL z
    z = (1e-3)*2*F*v/(R*(celsius + 273.15))
    ghk = (1e-3)*2*F*(ci*efun(-z) - co*efun(z))
}
FUNCTION efun(z) { if (fabs(z) < 1e-4) { efun = 1 - z/2 } else { efun = z/(exp(z) - 1) } }
"""
ELECTRODE = """
NEURON { POINT_PROCESS TElec ELECTRODE_CURRENT i RANGE amp, tau, i, e }
PARAMETER { amp = 2 (nA) tau = 0.3 (ms) e = -50 }
ASSIGNED { v (mV) i (nA) }
BREAKPOINT { i = amp*exp(-t/10)*0 + amp/tau*(e - v)*1e-3 }
"""
SHADOWS = """
NEURON { SUFFIX tshadow USEION ca READ cai USEION k READ ek WRITE ik RANGE g, ik GLOBAL half
    RANGE factor }
PARAMETER { g = 1e-4 half = 0.5 factor = 2 celsius }
STATE { z h }
LOCAL qt
ASSIGNED { v cai ek ik zinf ztau }
INITIAL { qt = 3^((celsius - 23)/10) rates(cai, v) z = zinf h = z/2 }
BREAKPOINT { LOCAL a  SOLVE eqs METHOD cnexp  a = z^factor  ik = g*a*h*(v - ek) }
DERIVATIVE eqs { LOCAL a
    rates(cai, v)
    a = nested(nested(v)) + nested(half)
    z' = (zinf - z)/ztau*qt
    h' = a*(1 - h)*0.1 - h*(1 + z)
}
PROCEDURE rates(ca (mM), cai) { LOCAL a, v
    v = ca*1e3 + 0.1
    a = 1/(1 + v)
    if (nested(cai) > 0.3) { LOCAL a  a = 7  zinf = a/10 } else { zinf = a }
    ztau = 5
}
FUNCTION nested(x) { LOCAL a  a = x/60  nested = a*a/(1 + a*a) }
"""
ASSIGNS_V = """
NEURON { SUFFIX tv NONSPECIFIC_CURRENT i RANGE g, i, shift, minf }
PARAMETER { g = 1e-4 shift = 10 }
STATE { m }
ASSIGNED { v i minf mtau }
INITIAL { rates() m = minf }
BREAKPOINT { SOLVE eqs METHOD cnexp  i = g*m*(v + 77) }
DERIVATIVE eqs { rates() m' = (minf - m)/mtau }
PROCEDURE rates() {
    v = v + shift
    minf = 1/(1 + exp(-(v + 30)/8))
    mtau = 1 + 1/(exp(v/20) + exp(-v/30))
    v = v - shift
}
"""
NO_INITIAL = """
NEURON { SUFFIX tnone NONSPECIFIC_CURRENT i RANGE i, offset }
CONSTANT { k = 1.5 }
PARAMETER { m0 = 0.3 }
STATE { m n START 0.25 u }
ASSIGNED { v i offset }
BREAKPOINT { SOLVE eqs METHOD cnexp
    i = k*1e-4*(m + n)*(v + offset)*(v + 60) + u*1e-6 }
DERIVATIVE eqs { m' = -m*(2 + 1)/4  n' = 0.5 - n*1e-3*(-v)  u' = 1.25 }
"""
KEPT = """
NEURON { SUFFIX tkept USEION na WRITE ina RANGE gbar, ina }
PARAMETER { gbar = 1e-3 }
STATE { m }
ASSIGNED { v ina scale drive }
INITIAL { scale = 1 + v*v/1e4  drive = 0  m = 0.5 }
BREAKPOINT { SOLVE old  ina = gbar*scale*m*(v - 50) + drive }
PROCEDURE old() {
    drive = drive + 1e-6*m
    m = m + (1 - exp(-dt/4))*(scale/3 - m)
    VERBATIM
    return 0;
    ENDVERBATIM
}
"""

GOOD = {
    "tkin": KINETIC,
    "tbuf": BUFFER,
    "timp": IMPLICIT,
    "tlin": LINEAR_IMPLICIT,
    "tsys": LINEAR,
    "teul": EULER,
    "tghk": GHK,
    "TElec": ELECTRODE,
    "tshadow": SHADOWS,
    "tv": ASSIGNS_V,
    "tnone": NO_INITIAL,
    "tkept": KEPT,
}

FRAME = """NEURON {{
    SUFFIX bad
    {neuron}
}}
ASSIGNED {{ v }}
STATE {{ m }}
INITIAL {{
    {initial}
}}
BREAKPOINT {{ SOLVE s METHOD {method} }}
DERIVATIVE s {{ m' = {rate} }}
{more}
"""
PLAIN = {"neuron": "RANGE r", "initial": "m = 0", "method": "cnexp", "rate": "-m", "more": ""}
REFUSED = [
    ("neuron", "POINTER p", 3, "POINTER"),
    ("neuron", "RANDOM r", 3, "RANDOM"),
    ("neuron", "BBCOREPOINTER p", 3, "BBCOREPOINTER"),
    ("neuron", "USEION k READ ki2", 3, "has no ki2"),
    ("initial", "VERBATIM\n x = 1;\n ENDVERBATIM", 8, "VERBATIM"),
    ("initial", "m = 0\n    while (m < 1) { m = m + 1 }", 9, "WHILE"),
    ("initial", "FROM i = 0 TO m { m = i }", 8, "FROM"),
    ("initial", "net_send(3, 1)", 8, "net_send"),
    ("initial", "m = unheard(3)", 8, "unheard"),
    ("initial", "m = q", 8, "q is not declared"),
    ("initial", "m = (3", 9, "syntax error"),
    ("initial", "dt = 3", 8, "dt is assigned"),
    ("initial", "m = x[1]", 8, "array"),
    ("method", "runge", 10, "runge"),
    ("rate", "f(m)\n}\nFUNCTION f(x) { f = f(x)", 13, "calls itself"),
    ("more", "NET_RECEIVE(w) { m = m + w }", 12, "NET_RECEIVE"),
    ("more", "DISCRETE d { m = 1 }", 12, "DISCRETE"),
    ("more", "NONLINEAR l { ~ m*m = 1 }", 12, "NONLINEAR"),
    ("more", "FUNCTION_TABLE t(x)", 12, "FUNCTION_TABLE"),
    ("more", "BEFORE STEP { m = 1 }", 12, "BEFORE"),
    ("more", "CONSTRUCTOR { m = 1 }", 12, "CONSTRUCTOR"),
    ("more", "PARAMETER { x[3] }", 12, "array"),
    ("more", "UNITS { k = (bananas) (m) }", 12, "bananas"),
]
