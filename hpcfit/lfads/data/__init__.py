"""Spike trains in bins, ready to train on: what they are, where they come from."""
