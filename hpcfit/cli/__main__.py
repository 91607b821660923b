"""`python -m hpcfit.cli`."""

from hpcfit.cli import main

main()
