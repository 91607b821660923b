"""What does SLURM say about the job this process is in?"""

import os
from collections.abc import Mapping


def step_tasks(environment: Mapping[str, str] = os.environ) -> int:
    """Tasks of the job or of its step; 1 outside SLURM."""
    for name in ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"):
        if environment.get(name, "").isdigit():
            return int(environment[name])
    return 1
