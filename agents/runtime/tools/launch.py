"""Starts one confined command: run as a script, between the worker and the shell.

The worker has threads, so it must not run Python between fork and exec; this process has one
thread and may. It reads a plan (see `confine.Plan`) as JSON from the descriptor named by its
argument, sets limits, and becomes `bwrap`, or stays as the **monitor** of a small family:

    worker -> monitor -> keeper -> bash

The keeper is the first process of a PID namespace where that is allowed, so that its end is the
end of everything below it. Elsewhere it is a child subreaper, which inherits every process that
runs away, and ends them itself. Killing the monitor ends the keeper by its parent-death signal,
and the worker's death ends the monitor likewise. The standard library is all that it imports.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import stat
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NoReturn

CANNOT_START = 126

PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
LAST_CAPABILITY = 63

# Landlock, from the kernel's include/uapi/linux/landlock.h. The numbers of its system calls are
# the same on every architecture that Python is built for (444 to 446), save Alpha.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHAR, MAKE_BLOCK = 1 << 6, 1 << 11
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READS = EXECUTE | READ_FILE | READ_DIR
SCOPE_ABSTRACT_SOCKETS, SCOPE_SIGNALS = 1 << 0, 1 << 1
# How many file rights each version of the interface knows.
RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
SCOPES_SINCE_ABI = 6

_libc = ctypes.CDLL(None, use_errno=True)


def landlock_abi() -> int:
    """The version of Landlock that the running kernel offers; 0 for none."""
    try:
        return _syscall(CREATE_RULESET, None, ctypes.c_size_t(0), CREATE_RULESET_VERSION)
    except OSError:
        return 0


def _syscall(number: int, *arguments: Any) -> int:
    answer = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def main() -> NoReturn:
    """Carry out the plan; ends as the command ends."""
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        plan = json.load(file)
    _die_with_parent(plan["worker"])
    _limit(plan["limits"])
    _offer_to_the_oom_killer()
    if plan["bwrap"]:
        _become_bwrap(plan)
    if plan["pid_namespace"]:
        _enter_namespace()
    sys.exit(_monitor(plan))


def _die_with_parent(parent: int) -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # It died before it could be asked for.
        os._exit(CANNOT_START)


def _limit(limits: dict[str, int]) -> None:
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_CPU, limits["cpu_seconds"])
    _lower(resource.RLIMIT_FSIZE, limits["file_bytes"])
    # Not RLIMIT_AS: node, Go and Java reserve address space that they never use.
    _lower(resource.RLIMIT_DATA, limits["memory_bytes"])
    _lower(resource.RLIMIT_NOFILE, 4096)
    # Counts all tasks of this user, also in containers that share it. So it stands far out, as the
    # wall between two looks of the worker, which counts exactly. It does not hold for root.
    _lower(resource.RLIMIT_NPROC, _tasks_of_this_user() + limits["tasks"] + 4096)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _tasks_of_this_user() -> int:
    tasks = 0
    for pid in _pids():
        try:
            if os.stat(f"/proc/{pid}").st_uid == os.getuid():
                tasks += len(os.listdir(f"/proc/{pid}/task"))
        except OSError:  # Ended meanwhile.
            continue
    return tasks


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _offer_to_the_oom_killer() -> None:
    # A wish: without it the kernel chooses by size alone.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _become_bwrap(plan: dict[str, Any]) -> NoReturn:
    """Hand over to bwrap. Its arguments hold the environment, so they are passed unseen by ps."""
    _leave_abstract_sockets(plan["bwrap"][0])
    arguments = os.memfd_create("arguments", 0)
    os.write(arguments, b"\0".join(os.fsencode(word) for word in plan["bwrap"][1:]))
    os.lseek(arguments, 0, os.SEEK_SET)
    _restore_signals()
    command = [plan["bwrap"][0], "--args", str(arguments), "--", *plan["command"]]
    os.execve(command[0], command, {})  # noqa: S606 - no shell is the point


def _leave_abstract_sockets(program: str) -> None:
    """Let nothing from here on connect to the machine's abstract sockets.

    They belong to the network, which bwrap shares: agents install packages. Where the kernel cannot
    do it, or bwrap is setuid, which it could not be afterwards, they stay connectable.
    """
    if landlock_abi() < SCOPES_SINCE_ABI or os.stat(program).st_mode & stat.S_ISUID:
        return
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _restrict(_ruleset(rights=0, scopes=SCOPE_ABSTRACT_SOCKETS))


def _enter_namespace() -> None:
    """The next child is the first process of a new PID namespace, with this user's own ids.

    Shared memory, semaphores and queues of System V are left behind too: Landlock knows none.
    """
    uid, gid = os.getuid(), os.getgid()
    if _libc.unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _monitor(plan: dict[str, Any]) -> int:
    lifeline, held = os.pipe()
    keeper = os.fork()
    if keeper == 0:
        os.close(held)
        _keep(plan, lifeline)
    os.close(lifeline)
    return _exit_code(os.waitpid(keeper, 0)[1])


def _exit_code(status: int) -> int:
    """The exit code as a shell tells it: 128 and the signal's number for an end by signal."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _keep(plan: dict[str, Any], lifeline: int) -> NoReturn:
    """Run the command, and leave nothing of it behind."""
    os.setsid()  # The worker asks this group to end, and must not mean the monitor.
    is_first = plan["pid_namespace"]
    if not is_first:
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL if is_first else signal.SIGUSR1)
    if select.select([lifeline], [], [], 0)[0]:  # The monitor died before it could be asked for.
        os._exit(CANNOT_START)
    is_fenced = not is_first and _fence()
    command = os.fork()
    if command == 0:
        os.setpgid(0, 0)
        _become_command(plan)
    with suppress(PermissionError):  # It was quicker, and has been replaced by the shell.
        os.setpgid(command, command)
    signal.signal(signal.SIGTERM, lambda *_: _send_group(command, signal.SIGTERM))
    signal.signal(signal.SIGUSR1, lambda *_: os._exit(_end_all(command, is_fenced=is_fenced)))
    code = _ended(command)
    if not is_first:
        _end_all(command, is_fenced=is_fenced)
    os._exit(code)


def _ended(command: int) -> int:
    """The exit code of the command once it has ended; it stays unburied, so that its group's
    number is not given away.
    """
    while True:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        if ended is not None and ended.si_pid == command:
            died = ended.si_code != os.CLD_EXITED
            return ended.si_status + 128 * died
        if ended is not None:
            os.waitpid(ended.si_pid, 0)


def _fence() -> bool:
    """Let no signal of this process and its descendants reach anyone else, and prove it."""
    if landlock_abi() < SCOPES_SINCE_ABI:
        return False
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _restrict(_ruleset(rights=0, scopes=SCOPE_SIGNALS))
    try:
        os.kill(os.getppid(), 0)
    except PermissionError:
        return True
    return False


def _end_all(command: int, *, is_fenced: bool) -> int:
    """End every process below this one, also those that fork as fast as they can.

    In one call, so that none can fork meanwhile: inside the fence *everyone* is the family. Without
    a fence group by group; a fork bomb whose every process leaves its group outruns that.
    """
    _send_group(command, signal.SIGKILL)
    _reap(1000)
    while _has_children():
        if is_fenced:
            _send_everyone(signal.SIGKILL)
        else:
            for group in _groups_below(os.getpid()) - {os.getpgrp()}:
                _send_group(group, signal.SIGKILL)
        _reap(1000)
        time.sleep(0.002)  # They need a moment to be gone.
    return 128 + signal.SIGTERM


def _send_everyone(number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(-1, number)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _reap(at_most: int) -> None:
    # Without a bound, a fork bomb delivers its dead for as long as one goes on burying them.
    with suppress(ChildProcessError):
        for _ in range(at_most):
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return


def _groups_below(top: int) -> set[int]:
    """The process groups of all descendants; sessions keep anyone else out of them."""
    children: dict[int, list[tuple[int, int]]] = {}
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                # The name in parentheses may hold anything, so count from its end.
                parent, group = file.read().rpartition(b")")[2].split()[1:3]
        except (OSError, ValueError):  # Ended meanwhile.
            continue
        children.setdefault(int(parent), []).append((pid, int(group)))
    groups: set[int] = set()
    waiting = [top]
    while waiting:
        for pid, group_of_child in children.get(waiting.pop(), []):
            groups.add(group_of_child)
            waiting.append(pid)
    return groups


def _send_group(leader: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, number)


def _become_command(plan: dict[str, Any]) -> NoReturn:
    try:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.chdir(plan["folder"])
        if plan["confined"]:
            _drop_capabilities()
            _confine(plan["readable"], plan["writable"], plan["devices"])
        _restore_signals()
        os.nice(plan["niceness"])
        command = plan["command"]
        os.execve(command[0], command, plan["environment"])  # noqa: S606 - it is the shell
    except OSError as error:
        os.write(2, f"The command could not be started: {error}\n".encode())
    os._exit(CANNOT_START)


def _restore_signals() -> None:
    # Python ignores these two, and what is ignored stays so across exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def _drop_capabilities() -> None:
    """What is run from here on has none, also as root: Landlock does not hold back a mount or a
    kernel module.
    """
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    for capability in range(LAST_CAPABILITY + 1):
        try:
            _prctl(PR_CAPBSET_DROP, capability)
        except OSError:  # Not known to this kernel, or not root's to drop.
            continue


def _confine(readable: list[str], writable: list[str], devices: list[str]) -> None:
    abi = landlock_abi()
    rights = (1 << RIGHTS_BY_ABI.get(abi, max(RIGHTS_BY_ABI.values()))) - 1
    scopes = SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS if abi >= SCOPES_SINCE_ABI else 0
    ruleset = _ruleset(rights=rights, scopes=scopes)
    for paths, allowed in (
        (readable, READS),
        (writable, ~(MAKE_CHAR | MAKE_BLOCK)),
        (devices, READ_FILE | WRITE_FILE | TRUNCATE),
    ):
        for path in paths:
            _allow(ruleset, path, allowed & rights)
    _restrict(ruleset)


def _ruleset(*, rights: int, scopes: int) -> int:
    # Older versions refuse a structure with fields that they do not know.
    attributes = struct.pack("=QQQ", rights, 0, scopes) if scopes else struct.pack("=Q", rights)
    return _syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)


def _restrict(ruleset: int) -> None:
    _syscall(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):  # Nothing to allow.
        return
    if not os.path.isdir(path):
        rights &= ON_FILES
    rule = struct.pack("=Qi", rights, folder)
    _syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0)
    os.close(folder)


if __name__ == "__main__":
    main()
