"""Memory of threads."""

import subprocess
import sys

_ARENAS = """
import ctypes, threading
from cais.linux.heap import share_arena
{call}
def use():
    ctypes.CDLL(None).malloc.restype = ctypes.c_void_p
    blocks = [ctypes.CDLL(None).malloc(1000) for _ in range(10)]
    used.wait()
    done.wait()
used, done = threading.Barrier(5), threading.Barrier(5)
threads = [threading.Thread(target=use) for _ in range(4)]
for thread in threads: thread.start()
used.wait()
with open("/proc/self/maps") as maps:
    before = maps.read()
done.wait()
for thread in threads: thread.join()
# an arena of its own begins at a multiple of 64 MB
print(sum(int(line.split("-")[0], 16) % (64 << 20) == 0 for line in before.splitlines()))
"""


def arenas(call: str) -> int:
    command = [sys.executable, "-c", _ARENAS.format(call=call)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_threads_share_an_arena() -> None:
    assert arenas("share_arena()") == 0
    assert arenas("") > 0
