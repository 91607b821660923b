"""How long would a generation take on machines that are not here?  A model of it, fed with what was measured here."""
