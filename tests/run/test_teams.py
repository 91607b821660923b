"""Do all executors keep the same promise: rows in order from whoever is there, whoever dies?  team_cases.py says which.

SLURM's own are tried in tests/slurm/test_executors.py.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from hpcfit.errors import ConfigError, EngineError, SchedulerError
from hpcfit.jobs.executors import Choice, chosen, ranks
from hpcfit.run.comm import NO_ARRAYS, Message, dry_run
from hpcfit.run.driver import Driver, dismiss
from hpcfit.run.team.children import Children
from hpcfit.run.team.folder import FolderHub, FolderLink
from hpcfit.run.team.parts import End, Heard
from hpcfit.run.team.team import Team

from ..mpi.launch import needs_mpi, on_ranks
from . import team_cases
from .team_cases import CASES, DIE, ENTRY, MISTAKE, PLAN, SLOW, Bench, Worker, answer_of, check, kill_process, rows_of
from .watching import alive, children, until

WORKERS = 2


def folder_team(folder, said, workers=WORKERS, beat_s=0.5, entry=ENTRY):
    """Processes of this machine that share only a folder: how jobs of a cluster talk, without the cluster."""
    hub = FolderHub(folder / "1", entry, workers, (1, workers + 1), beat_s)
    return Team(hub, Children(entry, workers + 1, 1), workers, 1, workers + 1, said.append)


@pytest.fixture(scope="module", params=["serial", "processes", "folder", "submitit", "ray"])
def bench(request, importable, tmp_path_factory):
    """Rank 0 of every executor that this machine can have."""
    kind, said = request.param, []
    if kind in ("submitit", "ray"):
        pytest.importorskip(kind, reason=f"pip install 'hpcfit[{'ray' if kind == 'ray' else 'slurm'}]'")
    folder = tmp_path_factory.mktemp(kind)
    with ExitStack() as stack:
        if kind == "folder":
            link = stack.enter_context(folder_team(folder, said))
            stack.callback(dismiss, link)
        else:
            link = stack.enter_context(team_cases.team(kind, folder, WORKERS, said))
        made = Bench(link, said, kill_process)
        stack.callback(made.close)
        yield made
    pids = {head["pid"] for head in made.heads.values()} - {0, os.getpid()}
    assert len(pids) == (0 if kind == "serial" else WORKERS)
    assert until(lambda: not any(map(alive, pids))), "a worker outlives its team"
    assert [path for path in folder.rglob("*") if path.is_file() or path.name == "workers"] == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_executor(bench, case):
    case(bench)


@pytest.mark.parametrize("size", [1, 4])
def test_pretended_ranks(size):
    def main(comm):
        if comm.rank:
            return team_cases.main(comm, lambda: False)
        bench = Bench(comm, [], None)
        try:
            for case in CASES.values():
                try:
                    case(bench)
                except pytest.skip.Exception:
                    continue
        finally:
            bench.close()
            assert dismiss(comm)

    dry_run(size, main)


@needs_mpi
@pytest.mark.parametrize("size", [2, 3])
def test_mpi(size, tmp_path):
    results = tmp_path / "results.json"
    with on_ranks(size, Path(team_cases.__file__), results, "mpi") as process:
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    assert json.loads(results.read_text())["failed"] == {}


# What may go wrong, on processes: the cheapest team.


@pytest.fixture
def processes(importable, tmp_path):
    """processes(workers, entry): the team and its notes."""
    with ExitStack() as stack:

        def make(workers=WORKERS, entry=ENTRY):
            said = []
            team = stack.enter_context(ranks(Choice("processes", workers), tmp_path, tmp_path, said.append, entry))
            return team, said

        yield make


def test_a_mistake_on_any_rank_is_raised_with_its_traceback(processes):
    bench = Bench(*processes(), kill_process)
    bench.all_ready()
    with pytest.raises(RuntimeError, match=r"(?s)rank [12] on .*Traceback.*ZeroDivisionError: by nought"):
        bench.map(rows_of(60, MISTAKE))
    bench.close()


def test_workers_that_end_before_they_can_work_are_an_error_with_their_last_words(processes):
    team, _ = processes(entry="no_such_module:main")
    words = "all workers end before they can work; rank 1 ended with exit code 1; it last said: .*no_such_module"
    with Driver(team, Worker(0).work, PLAN) as driver, pytest.raises(EngineError, match=words):
        driver.map(rows_of(5000, SLOW))


def test_rank_0_gone_takes_its_processes_along(importable, tmp_path):
    program = (
        "import sys, time\nfrom pathlib import Path\nimport team_cases\n"
        "with team_cases.team('processes', Path('.'), 2, []) as link:\n"
        "    bench = team_cases.Bench(link, [], None)\n    bench.all_ready()\n"
        "    print(*[head['pid'] for head in bench.heads.values()], flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        pids = [int(word) for word in process.stdout.readline().split()]
        process.kill()
    assert len(pids) == 3 and until(lambda: not any(map(alive, pids)))


# A folder as the way of messages.


def test_a_worker_that_is_told_to_go_says_goodbye_and_comes_again(importable, tmp_path):
    said = []
    with folder_team(tmp_path / "run", said) as team:
        bench = Bench(team, said, kill_process)
        bench.all_ready()
        victim = bench.heads[1]["pid"]
        told = []

        def tell(done, of):
            if not told:
                told.append(os.kill(victim, signal.SIGTERM))

        bench.good(rows_of(120, SLOW), tell)
        assert until(lambda: not alive(victim))
        bench.all_ready()
        assert bench.heads[1]["pid"] != victim and any("rank 1 leaves" in line for line in said), said
        bench.close()
        dismiss(team)


def test_a_worker_leaves_when_rank_0_has_gone_without_a_word(importable, tmp_path):
    hub = FolderHub(tmp_path / "team", ENTRY, 1, (1, 2), beat_s=0.02)
    _, path = hub.open()
    link = FolderLink(path, 1, "a")
    link.send(0, {"kind": "hello"})
    assert hub.receive(5.0) == Heard(1, "a", {"kind": "hello"})
    time.sleep(1.0)
    assert link.receive(0.1) is None, "rank 0 is there"
    hub._beat._end.set()  # as if it had been killed
    ends = time.monotonic() + 20
    while (message := link.receive(0.05)) is None:
        assert time.monotonic() < ends
    assert message.head["kind"] == "left" and "no sign of life" in message.head["why"] and link.present() == []
    link.close()
    hub.close()


def test_rank_0_misses_a_worker_that_has_gone_without_a_word(importable, tmp_path):
    hub = FolderHub(tmp_path / "team", ENTRY, 1, (1, 2), beat_s=0.02)
    link = FolderLink(hub.open()[1], 1, "a")
    hub.send(1, "a", {"kind": "plan"})
    assert link.receive(5.0).head == {"kind": "plan"} and not hub.silent()
    link._beat._end.set()
    silent = []
    assert until(lambda: silent or silent.extend(hub.silent().items()))
    assert silent == [((1, "a"), End("has given no sign of life for 1 s"))]
    link.close()
    hub.close()


def test_a_folder_that_is_removed_or_not_seen(importable, tmp_path, monkeypatch):
    hub = FolderHub(tmp_path / "team", ENTRY, 1)
    link = FolderLink(hub.open()[1], 1, "a")
    hub.close()
    assert list(tmp_path.iterdir()) == []
    assert link.receive(1.0).head == {"kind": "left", "why": "has closed", "blame": False}
    link.send(0, {"kind": "goodbye"})  # to nobody
    link.close()
    monkeypatch.setattr("hpcfit.run.team.folder._FIND_S", 0.0)
    with pytest.raises(EngineError, match="does not share that file system: put the run folder where every node"):
        FolderLink(str(tmp_path / "team"), 1, "b")


def test_a_message_that_is_there_in_part_or_out_of_turn_waits_for_the_rest(importable, tmp_path):
    hub = FolderHub(tmp_path / "team", ENTRY, 1)
    link = FolderLink(hub.open()[1], 1, "a")
    values = np.arange(1000.0)
    for number in range(3):
        link.send(0, {"kind": "answer", "number": number}, {"values": values + number})
    inbox = tmp_path / "team" / "to_0"
    first, second, _ = sorted(inbox.iterdir())
    whole = first.read_bytes()
    first.write_bytes(whole[:-1])  # as a client that remembers an older length shows it
    second.rename(tmp_path / "later")
    assert hub.receive(0.3) is None
    first.write_bytes(whole)
    assert hub.receive(5.0).head["number"] == 0 and hub.receive(0.3) is None
    (tmp_path / "later").rename(second)
    for number in (1, 2):
        heard = hub.receive(5.0)
        assert heard.head["number"] == number and np.array_equal(heard.arrays["values"], values + number)
    link.close()
    hub.close()


# Who is in the team: a hub and a launcher that say what the test says.


class Stage:
    """Hub and Launcher in one."""

    notice_s = 0.0

    def __init__(self):
        self.to_hear, self.to_end, self.started, self.sent = [], {}, [], []
        self.forgotten = []
        self.refuses = None

    def open(self):
        return ["stage"]

    def start(self, ranks, address):
        if self.refuses:
            raise self.refuses
        self.started.append(list(ranks))

    def send(self, rank, life, head, arrays=None):
        self.sent.append((rank, life, head["kind"]))

    def receive(self, timeout_s):
        return self.to_hear.pop(0) if self.to_hear else None

    def ended(self):
        ended, self.to_end = self.to_end, {}
        return ended

    def forget(self, rank, life):
        self.forgotten.append((rank, life))

    def hurry(self):
        pass

    def quiet(self):
        return False

    def silent(self):
        return {}

    def stop(self, rank):
        self.to_end[rank] = End("was stopped")

    def close(self):
        pass


@pytest.fixture
def staged(monkeypatch):
    """A stage, its team of two workers, and what the team has said."""
    monkeypatch.setattr("hpcfit.run.team.team._LOOK_S", 0.0)
    stage, said = Stage(), []
    team = Team(stage, stage, 2, 1, 1, said.append)
    team.begin()
    return stage, team, said


def told(team):
    """All that rank 0 hears now."""
    return [(message.source, message.head["kind"]) for message in iter(lambda: team.receive(0.01), None)]


def test_nobody_is_called_before_there_is_work():
    stage = Stage()
    team = Team(stage, stage, 2, 1, 1, print)
    assert team.receive() is None and stage.started == [] and team.awaited() == 2
    team.begin()
    team.begin()
    assert stage.started == [[1, 2]]


@pytest.mark.parametrize("kind", ["processes", "submitit"])
def test_a_team_that_is_never_called_leaves_nothing(kind, tmp_path):
    before = children()
    with ranks(Choice(kind, 2), tmp_path / "fit.toml", tmp_path / "run", print) as link:
        assert link.size == 3 and link.present() == []
    assert children() == before and list(tmp_path.iterdir()) == []


def test_one_that_comes_in_anothers_place_ends_that_one(staged):
    stage, team, _ = staged
    stage.to_hear = [
        Heard(1, "a", {"kind": "hello"}),
        Heard(1, "b", {"kind": "hello"}),
        Heard(1, "a", {"kind": "ready"}),
    ]
    assert told(team) == [(1, "hello"), (1, "left"), (1, "hello")]
    assert stage.forgotten == [(1, "a")]
    assert (1, "a", "stop") in stage.sent, "the one that was thought to be gone is sent home"
    team.send(1, {"kind": "rows"})
    team.send(2, {"kind": "rows"})  # nobody there
    assert stage.sent[-1] == (1, "b", "rows") and team.present() == [1] and team.awaited() == 1
    with pytest.raises(ValueError, match="no rank 3 among 3"):
        team.send(3, {"kind": "rows"})


def test_what_a_dead_one_said_last_is_heard_before_its_end(staged):
    stage, team, said = staged
    stage.to_hear = [Heard(2, "a", {"kind": "hello"})]
    assert told(team) == [(2, "hello")]
    stage.to_hear = [Heard(2, "a", {"kind": "ready"}), Heard(2, "a", {"kind": "answer"})]
    stage.to_end = {2: End("was killed", blame=True)}
    assert told(team) == [(2, "ready"), (2, "answer"), (2, "left")]
    assert stage.started == [[1, 2], [2]] and said == ["rank 2 was killed; 1 of 3 ranks are there"]


def test_a_place_that_refuses_to_start_again_is_asked_later(staged, monkeypatch):
    stage, team, said = staged
    stage.to_hear = [Heard(1, "a", {"kind": "hello"}), Heard(1, "a", {"kind": "ready"})]
    told(team)
    monkeypatch.setattr("hpcfit.run.team.team._START_AGAIN_S", 0.2)
    stage.refuses, stage.to_end = SchedulerError("sbatch: too many jobs"), {1: End("TIMEOUT")}
    told(team)
    assert "1 workers cannot be started again now: sbatch: too many jobs" in said
    stage.refuses = None
    assert until(lambda: told(team) or stage.started[1:] == [[1]])


def test_a_rank_that_never_works_is_given_up_and_the_others_go_on(staged):
    stage, team, said = staged
    stage.to_hear = [Heard(1, "a", {"kind": "hello"}), Heard(1, "a", {"kind": "ready"})]
    for _ in range(3):
        stage.to_end = {2: End("ended with exit code 1", blame=True)}
        told(team)
    assert stage.started == [[1, 2], [2], [2]] and team.awaited() == 0
    assert said[-1].startswith("rank 2 is not started again: it ended 3 times before it could work")


def test_nobody_is_started_again_once_the_team_is_sent_home(staged):
    stage, team, said = staged
    stage.to_hear = [Heard(1, "a", {"kind": "hello"}), Heard(1, "a", {"kind": "ready"})]
    told(team)
    stage.to_hear, stage.to_end = [Heard(1, "a", {"kind": "goodbye"})], {1: End("ended with exit code 0")}
    assert dismiss(team)
    told(team)
    assert stage.started == [[1, 2]] and said == []


# What the driver makes of ranks that die.


class Deadly:
    """A link to ranks that are always there at once, and die of rows with the action DIE."""

    rank, cores, neighbours, notice_s = 0, 1, 1, 0.0

    def __init__(self, ranks, comes_again=True):
        self.size, self.comes_again = ranks + 1, comes_again
        self.there, self.deaths, self.given = set(), 0, []
        self.to_say = []

    def begin(self):
        for rank in range(1, self.size):
            self._come(rank)

    def _come(self, rank):
        self.there.add(rank)
        self.to_say += [Message(rank, {"kind": "hello", "version": version("hpcfit"), "host": "h"})]

    def present(self):
        return sorted(self.there)

    def awaited(self):
        return 0

    def receive(self, timeout_s=0.0):
        return self.to_say.pop(0) if self.to_say else None

    def send(self, to, head, arrays=NO_ARRAYS):
        if head["kind"] == "plan":
            self.to_say.append(Message(to, {"kind": "ready", "quantum": 1}))
        if head["kind"] != "rows":
            return
        rows = arrays["rows"]
        self.given.append(len(rows))
        if np.any(rows[:, 1] == DIE):
            self.deaths += 1
            self.there.discard(to)
            self.to_say.append(Message(to, {"kind": "left", "why": "was killed", "blame": True}))
            if self.comes_again:
                self._come(to)
        else:
            said = {"kind": "answer", "ticket": head["ticket"], "head": {"rows": len(rows)}, "seconds": 0.0}
            self.to_say.append(Message(to, said, answer_of(rows)))


def deadly_map(link, rows, failed=True):
    """By a rank 0 that is too slow to get more than a few."""
    worker = Worker(0)
    work = worker.work if failed else dataclasses.replace(worker.work, failed=None)
    with Driver(link, work, PLAN) as driver:
        return driver.map(rows)


@pytest.mark.parametrize("deadly", [{0}, {17}, {0, 1}, {3, 40, 41}])
def test_each_row_that_ranks_die_of_is_failed_and_no_other(deadly):
    rows, link = rows_of(64, SLOW), Deadly(3)
    rows[sorted(deadly), 1] = DIE
    arrays, heads = deadly_map(link, rows)
    good = [number for number in range(64) if number not in deadly]
    check({name: array[good] for name, array in arrays.items()}, rows[good])
    assert not arrays["cube"][sorted(deadly)].any() and sum("why" in head for head in heads) == len(deadly)
    assert link.deaths <= 9 * len(deadly)


def test_rows_that_no_rank_survives_are_an_error_where_the_work_has_no_answer_for_them():
    rows = rows_of(64, SLOW)
    rows[5, 1] = DIE
    with pytest.raises(
        EngineError, match=r"individuals 5 of the generation, counted from 0: 2 ranks died while they had"
    ):
        deadly_map(Deadly(3), rows, failed=False)


def test_ranks_that_die_of_every_row_end_the_run():
    with pytest.raises(EngineError, match=r"individuals \d.*: ranks die again and again"):
        deadly_map(Deadly(3), rows_of(2000, DIE))


def test_rank_0_alone_does_what_one_rank_may_have_died_of_but_not_what_two_have():
    rows = rows_of(8, SLOW)
    rows[1, 1] = DIE
    check(deadly_map(Deadly(1, comes_again=False), rows)[0], rows)
    with pytest.raises(EngineError, match=r"individuals 0, 1 of the .* no other rank is left to try them on"):
        deadly_map(Deadly(2, comes_again=False), rows)


def test_a_rank_of_another_version_is_refused(monkeypatch):
    link = Deadly(1)
    link.begin()
    link.to_say[0].head["version"] = "0.0.1"
    link.begin = lambda: None
    with pytest.raises(EngineError, match=r"rank 1 on h has hpcfit 0\.0\.1, rank 0 has .*; start all ranks from one"):
        deadly_map(link, rows_of(9))


# What a user may say.


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (("hyperspace", None, None, None), "--executor hyperspace: must be one of serial, processes, mpi, array, subm"),
        ((None, None, 2, None), "--workers needs --executor; one of serial, "),
        ((None, None, None, "cori"), "--site needs --executor"),
        (("serial", None, 2, None), "--executor serial takes no --workers; it has none"),
        (("mpi", None, 2, None), "--executor mpi takes no --workers; the launcher says how many"),
        (("ray", None, 2, "cori"), "--executor ray takes no --site"),
        (("array", None, 2, None), "--executor array needs --site"),
        (("array", None, None, "cori"), "--executor array needs --workers"),
        (("submitit", None, None, None), "--executor submitit needs --workers"),
        (("processes", None, 0, None), "--workers 0: must be at least 1; for one rank say --executor serial"),
        (("ray", True, None, None), "--executor ray contradicts --mpi; say one of them"),
        (("mpi", False, None, None), "--executor mpi contradicts --no-mpi"),
        ((None, True, 3, None), "--executor mpi takes no --workers"),
    ],
)
def test_choices_that_contradict_themselves_are_one_clear_error(given, line):
    with pytest.raises(ConfigError) as raised:
        chosen(*given)
    assert str(raised.value).startswith(line)


@pytest.mark.parametrize(
    ("given", "meant"), [((None, None), None), ((None, True), "mpi"), (("serial", False), "serial")]
)
def test_mpi_and_no_mpi_are_short_for_executors(given, meant):
    assert chosen(*given, None, None) == Choice(meant)


def test_one_launcher_is_enough(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "4")
    with pytest.raises(ConfigError, match="started 4 of this program, and each would call workers of its own"):
        chosen("processes", None, 2, None)


@pytest.mark.parametrize(
    ("kind", "package", "extra"), [("ray", "ray", "hpcfit[ray]"), ("submitit", "submitit", "hpcfit[slurm]")]
)
def test_a_package_that_is_missing_is_named_with_the_cure(kind, package, extra, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "hpcfit.run.team.by_submitit", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineError) as raised, ranks(Choice(kind, 1), tmp_path / "fit.toml", tmp_path, print):
        pass
    assert f"pip install '{extra}'" in str(raised.value)


def test_no_slurm_is_one_clear_error_and_nothing_is_written(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for kind in ("array", "submitit"):
        choice = Choice(kind, 2, "generic")
        with pytest.raises(SchedulerError), ranks(choice, tmp_path / "fit.toml", tmp_path / "run", print):
            pass
    assert list(tmp_path.iterdir()) == []
