"""What a pass frees stays with the process, unless its user says otherwise."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

PIECE, PIECES = 20 * 2**20, 5
KEEPS = f"""
import ctypes, pathlib
from privaudit.device import keep_memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]

def held():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1])

keep_memory()
before = held()
pieces = [libc.malloc({PIECE}) for _ in range({PIECES})]
for piece in pieces:
    ctypes.memset(piece, 1, {PIECE})
used = held() - before
for piece in pieces:
    libc.free(piece)
print((held() - before) / used)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize(("limits", "share"), [({}, 1.0), ({"MALLOC_ARENA_MAX": "8"}, 0.0)])
def test_memory_is_kept_for_the_next_pass_where_the_user_has_set_no_limits(
    limits: dict[str, str], share: float
) -> None:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_TUN"))}
    command = [sys.executable, "-c", KEEPS]
    done = subprocess.run(command, check=True, capture_output=True, env=plain | limits)
    assert float(done.stdout) == pytest.approx(share, abs=0.1)
