"""Is work counted wherever it is done, and waiting nowhere?"""

import subprocess
import sys
import time

from hpcfit.run.processor_time import ProcessorTime

BURN = "import time\nend = time.process_time() + {s}\nwhile time.process_time() < end: pass\n"
STAY = "print('done', flush=True)\nimport sys\nsys.stdin.read()"


def test_own_work_counts_and_sleep_does_not():
    with ProcessorTime() as taken:
        exec(BURN.format(s=0.05))
        time.sleep(0.3)
    assert 0.05 <= taken.seconds < 0.25


def test_work_of_processes_that_live_and_that_have_ended_counts():
    with subprocess.Popen(
        [sys.executable, "-c", "input()\n" + BURN.format(s=0.2) + STAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdin and worker.stdout
        with ProcessorTime() as living:
            worker.stdin.write(b"go\n")
            worker.stdin.flush()
            worker.stdout.readline()
        with ProcessorTime() as idle:
            time.sleep(0.05)
        worker.stdin.close()
    with ProcessorTime() as ended:
        subprocess.run([sys.executable, "-c", BURN.format(s=0.2)], check=True)
    assert living.seconds >= 0.19
    assert idle.seconds < 0.04
    assert 0.2 <= ended.seconds < 2
