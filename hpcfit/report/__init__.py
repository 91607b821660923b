"""What a person sees of a run: arrays for notebooks, figures, an HTML page, status.  Reads run folders only."""
