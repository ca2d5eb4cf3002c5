"""Become another program that the kernel ends together with the process that started it.

Run as a script: `tether.py PARENT_PID PROGRAM ARGUMENT...`. It imports the standard library only,
so that `python -I -S` starts it in a few milliseconds.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)


def tie_to(parent: int) -> None:
    """End with SIGKILL when the parent's starting thread ends.

    SIGKILL, because no one is left to insist: what a worker held is recovered by lease.
    On other systems than Linux nothing is tied.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # It ended before the kernel knew.
        sys.exit(1)


if __name__ == "__main__":
    tie_to(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - The supervisor's own argument list.
