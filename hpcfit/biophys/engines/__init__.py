"""Simulators behind one interface: same cell, same parameters, same responses."""
