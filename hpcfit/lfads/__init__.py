"""LFADS: a sequential variational autoencoder for spike trains (Sussillo et al. 2016; Pandarinath et al. 2018)."""
