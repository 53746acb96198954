from __future__ import annotations

import subprocess
import sys

# Threads that allocate 30 MB arrays of 5 MB and free them; first one of 30 MB, after which glibc would keep as much.
_SCRIPT = """
import re, sys, threading
from pathlib import Path
import numpy as np
from dgm_tb.store.memory import give_back_large

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1000

def work(barrier):
    del_first = np.ones(30 << 17)
    del del_first
    several = [np.ones(5 << 17) for _ in range(6)]
    barrier.wait(60)
    kept.append(np.ones(1000))
    del several

kept = []
asked = sys.argv[1] == "give back" and give_back_large()
before, barrier = resident(), threading.Barrier(4)
threads = [threading.Thread(target=work, args=(barrier,)) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(asked, resident() - before)
"""


def left_over(mode: str) -> tuple[bool, int]:
    done = subprocess.run([sys.executable, "-c", _SCRIPT, mode], check=True, capture_output=True, text=True, timeout=60)
    asked, megabytes = done.stdout.split()
    return asked == "True", int(megabytes)


def test_what_large_arrays_took_is_not_kept() -> None:
    asked, megabytes = left_over("give back")
    assert asked == sys.platform.startswith("linux")
    if asked:
        assert megabytes < 20
