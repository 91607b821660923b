"""How do ranks come and go while the work goes on?  Teams: rank 0, and workers that are started one by one.

A `Team` (team.py) is a `Link` put together from a `Hub`, which carries messages (sockets.py, folder.py), and a
`Launcher`, which starts workers and knows how they ended (children.py, by_submitit.py, run/slurm/array.py);
run/ray.py is both.  A worker is run/team/seat.py, whatever started it.
"""
