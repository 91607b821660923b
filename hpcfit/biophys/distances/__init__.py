"""Distances between simulated and recorded traces: `make_distance` gives a function of traces."""

from hpcfit.biophys.distances.trace import TraceDistance, distance_unit, make_distance

__all__ = ["TraceDistance", "distance_unit", "make_distance"]
