"""`hpcfit scale`: how long does a generation take on more ranks, and with more to do?

design.py: which points; problems.py: the fit of each; measure.py: launches of launched.py, whose timings raw.py keeps;
statistics.py and sanity.py: what may be said of them; summary.py: OUT/summary.json; report.py: OUT/report.
"""
