"""Biophysical neuron models: cells, stimuli, recordings, features, scores and the simulators that join them."""
