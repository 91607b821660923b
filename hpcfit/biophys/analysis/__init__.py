"""What can be learnt from a fit?  Computations on its ledger and on further simulations; no files, no figures."""
