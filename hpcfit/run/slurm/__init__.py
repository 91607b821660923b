"""What hpcfit knows about SLURM: no other part of it names a command or a variable of it."""
