// What Python calls.  The build defines HPCFIT_REAL.
#include "decoder.hpp"
#include "draws.hpp"
#include "poisson.hpp"
#include "sequence.hpp"

extern "C" long hpcfit_tile() { return TILE; }
extern "C" long hpcfit_pair() { return PAIR; }
