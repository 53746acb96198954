from __future__ import annotations

import subprocess
import sys

from dgm_tb.store.pool import pool

# In a process of its own: to fork one that has threads is warned of from Python 3.12 on.
FORK = """
import os
from dgm_tb.store.pool import pool
pool().submit(os.getpid).result()
child = os.fork()
if child == 0:
    os._exit(0 if pool().submit(os.getpid).result(timeout=20) == os.getpid() else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_it_is_one_for_all() -> None:
    assert pool() is pool()


def test_a_forked_process_has_threads_of_its_own() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)
