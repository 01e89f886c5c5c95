from __future__ import annotations

import os
import subprocess
import sys

from features.workers import pool


def test_workers_are_other_processes() -> None:
    with pool(1) as workers:
        assert workers.submit(os.getpid).result() != os.getpid()


def test_workers_end_with_a_killed_parent() -> None:
    program = """if True:
        import os, select
        from features.workers import pool
        if __name__ == "__main__":
            workers = pool(1)
            print(workers.submit(os.getpid).result(), flush=True)
            workers.submit(select.select, [], [], []).result()"""
    words = [sys.executable, "-c", program]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        worker = int(process.stdout.readline())
        os.kill(worker, 0)
        process.kill()
        # The worker holds the pipe too: it ends when the worker does.
        process.communicate(timeout=60)
