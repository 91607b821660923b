"""ReFrame tests of how hpcfit scales: `hpcfit scale` itself, its sanity, and its times against a site's references.

    reframe --checkpath benchmarks/reframe --run --performance-report
    reframe -c benchmarks/reframe -r -S fit=/path/to/fit.toml -S ranks=1,2,4 -S budget=300 -S reference_s=0.9

By default the small demo on one rank with whatever the machine is.  On a cluster give ReFrame the site's own settings
file (-C): a test asks its scheduler for as many tasks as its largest number of ranks, and `hpcfit scale`, started once
in that job, starts the ranks itself with srun.

Sanity: every launch gave the same numbers, and every point has an interval.  Performance variables: the median time per
generation at each size, and its efficiency where the study is strong or weak.
"""

import json
import shlex
import sys
from pathlib import Path

import reframe as rfm
import reframe.utility.sanity as sn
from reframe.core.builtins import parameter, performance_function, run_after, run_before, sanity_function, variable

DEMO = Path(__file__).resolve().parents[2] / "data" / "l5pc" / "fit.toml"


@rfm.simple_test
class Scaling(rfm.RunOnlyRegressionTest):
    """One study of one fit file."""

    study = parameter(["strong", "weak"])
    fit = variable(str, value=str(DEMO))
    ranks = variable(str, value="1")
    population = variable(str, value="")
    options = variable(str, value="")
    """More for hpcfit scale."""
    budget = variable(float, value=120.0)
    reference_s = variable(float, value=0.0)
    """Time per generation at the first point; 0: none is known, and the time is only reported."""
    most_above = variable(float, value=0.1)
    """Part by which a time may be above its reference."""

    @run_after("init")
    def asks_for(self):
        """As many tasks as the largest number of ranks; the command itself is started once."""
        self.valid_systems, self.valid_prog_environs = ["*"], ["*"]
        self.descr = f"hpcfit scale {self.study}"
        self.num_tasks = max(map(int, self.ranks.split(",")))
        self.time_limit = f"{int(self.budget) + 600}s"
        self.executable = sys.executable
        words = ["-m", "hpcfit.cli", "scale", self.study, self.fit, "--ranks", self.ranks, "--out", "study"]
        words += ["--population", self.population] if self.population else []
        words += ["--budget", f"{self.budget:g}", *shlex.split(self.options)]
        self.executable_opts = [shlex.quote(word) for word in words]

    @run_before("run")
    def started_once(self):
        """No launcher before it: it starts ranks itself."""
        from reframe.core.backends import getlauncher

        self.job.launcher = getlauncher("local")()

    @run_before("performance")
    def what_is_measured(self):
        """A variable for each point."""
        points = self.summary()["points"]
        sweeps = self.summary()["sweeps"]
        self.perf_variables = {}
        for place, point in enumerate(points):
            name = f"{sweeps}_{point[sweeps]}"
            self.perf_variables[f"{name}_generation"] = self.seconds(place)
            if point["efficiency"]:
                self.perf_variables[f"{name}_efficiency"] = self.efficiency(place)
        if self.reference_s:
            first = f"{sweeps}_{points[0][sweeps]}_generation"
            self.reference = {"*": {first: (self.reference_s, None, self.most_above, "s")}}

    @sanity_function
    def same_numbers(self):
        """The command ends with an error where launches differ, and with 75 where a point lacks its interval."""
        return sn.all(
            [
                sn.assert_eq(self.job.exitcode, 0),
                sn.assert_found(r"gave the same numbers, bit for bit", self.stdout),
                sn.assert_true(all(point["seconds"]["low"] for point in self.summary()["points"])),
            ]
        )

    @performance_function("s")
    def seconds(self, place: int = 0):
        """Median time per generation."""
        return self.summary()["points"][place]["seconds"]["median"]

    @performance_function("1")
    def efficiency(self, place: int = 0):
        """Against the first point."""
        return self.summary()["points"][place]["efficiency"]["median"]

    def summary(self):
        """What the command left."""
        return json.loads((Path(self.stagedir) / "study" / "summary.json").read_text(encoding="utf-8"))
