"""A confined command reaches its worktree and the system's programs, and nothing of the server."""

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agents.runtime.tools import census, confine, launch
from agents.runtime.tools.confine import Confinement
from agents.runtime.tools.registry import ToolError, Workspace
from tests.agents.runtime.confinements import CONFINED, run, soon

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture(params=CONFINED)
def way(request: pytest.FixtureRequest) -> Confinement:
    return CONFINED[request.param]()


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user with a secret in its environment, as the server has."""
    process = subprocess.Popen(["sleep", "600"], env={**os.environ, "KEY": f"secret-{os.getpid()}"})
    # Popen returns when the program is found; its environment is there a moment later.
    assert soon(lambda: bool(Path(f"/proc/{process.pid}/environ").read_bytes()))
    yield process
    process.kill()
    process.wait()


def test_system_programs_run(way: Confinement, workspace: Workspace) -> None:
    output = run(
        way,
        workspace,
        "python3 -c 'import ssl, json, sqlite3; print(\"python\")' && git --version >/dev/null"
        " && id -u && cat <(echo substituted) && echo > /dev/null && head -c1 /dev/urandom | wc -c"
        " && getent hosts localhost >/dev/null && echo names",
    )
    assert output == f"python\n{os.getuid()}\nsubstituted\n1\nnames\n[exit code 0]"


def test_the_worktree_is_its_own_to_change(way: Confinement, workspace: Workspace) -> None:
    output = run(
        way,
        workspace,
        "mkdir -p a/b && echo x > a/b/c && mv a/b/c d && ln -s d e && ln d f && mkfifo g"
        " && chmod 600 d && rm -r a && truncate -s 0 d && ls",
    )
    assert output == "d\ne\nf\ng\n[exit code 0]"


def test_files_of_the_server_cannot_be_read_or_listed(
    way: Confinement, workspace: Workspace, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "beside").write_text("hush-hush")
    (root / "link").symlink_to(tmp_path / "beside")
    (root / "up").symlink_to(tmp_path)
    files = [
        tmp_path / "beside", root / "link", root / "up/beside", PROJECT / "pyproject.toml",
        Path(__file__), Path(sys.prefix, "pyvenv.cfg"), Path("/etc/shadow"),
    ]  # fmt: skip
    folders = [PROJECT, Path.home() / ".config", Path("/etc/ssh"), Path("/var/lib"), root / "up"]
    commands = [f"cat '{file}' && echo 'read {file}'" for file in files]
    commands += [f"ls '{folder}' | grep -qvx root && echo 'listed {folder}'" for folder in folders]
    output = run(way, workspace, "\n".join(commands))
    assert "hush-hush" not in output
    assert "\nread" not in output
    assert "\nlisted" not in output
    # What cannot be reached is there: a command without confinement gets to it.
    assert "hush-hush" in run(Confinement("none"), workspace, commands[0])


def test_nothing_outside_can_be_written(
    way: Confinement, workspace: Workspace, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "beside").write_text("kept")
    (root / "link").symlink_to(tmp_path / "beside")
    beside = tmp_path / "beside"
    for attack in (
        f"echo x > '{beside}'",
        "echo x > link",
        f"echo x > '{tmp_path}/new'",
        f"rm -f '{beside}'",
        f"truncate -s 0 '{beside}'",
        f"mv '{beside}' here",
        f"ln '{beside}' here && echo x > here",
        f"mkdir '{tmp_path}/folder'",
        "echo x > /usr/planted",
        "echo x > /etc/planted",
        "cat /proc/sys/kernel/core_pattern > /proc/sys/kernel/core_pattern",
    ):
        output = run(way, workspace, f"{{ {attack}; }} && echo done it")
        # In a namespace a folder of that name may be made, but in memory.
        assert "done it" not in output or way.name == "bwrap", attack
    assert beside.read_text() == "kept"
    assert sorted(os.listdir(tmp_path)) == ["beside", "root"]
    assert not Path("/usr/planted").exists()
    assert not Path("/etc/planted").exists()


def test_memory_and_environment_of_other_processes_are_closed(
    way: Confinement, workspace: Workspace, server: subprocess.Popen[bytes]
) -> None:
    secret = f"secret-{os.getpid()}"
    assert secret in Path(f"/proc/{server.pid}/environ").read_text()
    output = run(
        way,
        workspace,
        f"cat /proc/{server.pid}/environ;"
        f"head -c 10 /proc/{server.pid}/mem; ls /proc/{server.pid}/fd /proc/{server.pid}/cwd;"
        f"python3 -c 'import ctypes; l = ctypes.CDLL(None, use_errno=True);"
        f' print("attached", l.ptrace(16, {server.pid}, 0, 0))\'',
    )
    assert secret not in output
    assert "attached -1" in output


def test_other_processes_cannot_be_ended(
    way: Confinement, workspace: Workspace, server: subprocess.Popen[bytes]
) -> None:
    assert "ended" not in run(way, workspace, f"kill -9 {server.pid} && echo ended")
    assert server.poll() is None


def test_a_command_cannot_end_the_one_that_keeps_it(way: Confinement, workspace: Workspace) -> None:
    # Without a namespace of its own, number 1 would be this machine's.
    keeper = "1" if way.pid_namespace else "$PPID"
    output = run(way, workspace, f"kill -9 {keeper}; sleep 0.2; echo still here")
    assert "still here" in output


def test_a_command_has_no_powers(way: Confinement, workspace: Workspace) -> None:
    output = run(
        way,
        workspace,
        "mkdir m; mount -t tmpfs none m && echo mounted; mknod disk b 7 0 && echo made;"
        "unshare -Ur true && mount -t tmpfs none m && echo mounted; chroot / true && echo rooted;"
        "sudo -n true && echo raised; ls /dev",
    )
    for word in ("mounted", "made", "rooted", "raised", "vda", "kmsg"):
        assert word not in output


def test_sockets_of_the_server_are_out_of_reach(
    way: Confinement, workspace: Workspace, tmp_path: Path
) -> None:
    name = f"\0signalbox-{uuid.uuid4().hex}"
    path = str(tmp_path / "s")
    connect = (
        "import socket\nfor name in {names!r}:\n"
        "    s = socket.socket(socket.AF_UNIX)\n"
        "    try: s.connect(name); print('connected', ascii(name))\n"
        "    except OSError as e: print(type(e).__name__)\n"
    )
    with socket.socket(socket.AF_UNIX) as in_files, socket.socket(socket.AF_UNIX) as abstract:
        for server, address in ((in_files, path), (abstract, name)):
            server.bind(address)
            server.listen()
        # Landlock leaves those in the file system connectable; see `Confinement.describe`.
        reach = [path, name] if way.name == "bwrap" else [name]
        (workspace.root / "c.py").write_text(connect.format(names=reach))
        assert "connected" not in run(way, workspace, "python3 c.py")
        subprocess.run(
            [sys.executable, "c.py"], cwd=workspace.root, check=True, capture_output=True
        )


_SEGMENT = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
segment = libc.shmget(int(sys.argv[1]), 0, 0)
print("attached" if segment >= 0 and libc.shmat(segment, None, 0o10000) != 2**64 - 1 else "none")
"""


def test_shared_memory_of_other_processes_is_out_of_reach(
    way: Confinement, workspace: Workspace
) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    key = uuid.uuid4().int & 0x7FFFFFFF
    segment = libc.shmget(key, 4096, 0o1600)  # IPC_CREAT, for this user alone.
    assert segment >= 0
    in_files = Path("/dev/shm", uuid.uuid4().hex)  # noqa: S108 - that is what is tried.
    in_files.write_text("very-secret")
    try:
        (workspace.root / "s.py").write_text(_SEGMENT)
        output = run(way, workspace, f"python3 s.py {key}; cat {in_files}; ls /dev/shm")
        assert "very-secret" not in output
        assert in_files.name not in output.replace(f"{in_files}:", "")
        # Only a namespace hides System V's; where there is none, `describe` says so.
        assert way.pid_namespace == ("attached" not in output)
        control = subprocess.check_output([sys.executable, "s.py", str(key)], cwd=workspace.root)
        assert control == b"attached\n"
    finally:
        libc.shmctl(segment, 0, None)  # IPC_RMID
        in_files.unlink()


def test_no_program_can_raise_a_command_above_its_user(
    way: Confinement, workspace: Workspace
) -> None:
    ask = "import ctypes; print('new privileges', 1 - ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"
    assert "new privileges 0" in run(way, workspace, f'python3 -c "{ask}"')


def test_readable_paths_can_be_read_and_not_written(
    way: Confinement, root: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository.git"
    repository.mkdir()
    (repository / "config").write_text("known")
    workspace = Workspace(root=root, readable=(repository,))
    assert "known" in run(way, workspace, f"cat '{repository}/config'")
    run(way, workspace, f"echo evil >> '{repository}/config'; touch '{repository}/new'")
    assert (repository / "config").read_text() == "known"
    assert os.listdir(repository) == ["config"]


def test_git_reads_a_worktree_of_a_readable_repository(way: Confinement, tmp_path: Path) -> None:
    main, root = tmp_path / "main", tmp_path / "worktree"
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "init", "-q", str(main)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "First."], cwd=main, check=True)
    subprocess.run([*git, "worktree", "add", "-q", str(root)], cwd=main, check=True)
    workspace = Workspace(root=root, readable=(main / ".git",))
    output = run(way, workspace, "echo x > new; git status --short && git log --format=%s")
    assert output == "?? new\nFirst.\n[exit code 0]"


def test_bwrap_shows_the_git_link_as_read_only(root: Path) -> None:
    (root / ".git").write_text("gitdir: /repository/.git/worktrees/a\n")
    way = CONFINED["bwrap"]()
    for attack in ("echo evil > .git", "rm -f .git", "mv .git old"):
        assert "[exit code 1]" in run(way, Workspace(root=root), attack)


def test_a_program_folder_on_the_boards_path_is_readable(
    way: Confinement, root: Path, tmp_path: Path
) -> None:
    programs = tmp_path / "tools/bin"
    programs.mkdir(parents=True)
    (programs / "hello").write_text("#!/bin/sh\necho hello\n")
    (programs / "hello").chmod(0o755)
    (tmp_path / "tools/secret").write_text("secret")
    workspace = Workspace(root=root, environment={"PATH": f"{programs}:/usr/bin:/bin"})
    output = run(way, workspace, f"hello; cat '{tmp_path}/tools/secret'")
    assert output.startswith("hello\n")
    assert "\nsecret" not in output


def test_a_search_path_into_home_does_not_open_home(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    for folder in (home / "bin", home / ".local/bin"):
        folder.mkdir(parents=True)
        (folder / "python3").touch()
    monkeypatch.setenv("HOME", str(home))
    paths = confine._installations(f"{home}/bin:{home}/.local/bin:relative:{home}")
    assert paths == [f"{home}/bin", f"{home}/.local/bin"]


def test_the_project_is_cut_out_of_a_system_folder_that_holds_it(tmp_path: Path) -> None:
    for name in ("usr/bin", "usr/src/app/agents", "usr/src/other"):
        (tmp_path / name).mkdir(parents=True)
    usr = str(tmp_path / "usr")
    shown = list(confine._without(usr, f"{usr}/src/app"))
    assert shown == [f"{usr}/bin", f"{usr}/src/other"]
    assert list(confine._without(f"{usr}/bin", f"{usr}/src/app")) == [f"{usr}/bin"]
    assert list(confine._without(f"{usr}/src/app/agents", f"{usr}/src/app")) == []


def test_the_servers_own_programs_are_not_on_the_search_path(
    way: Confinement, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{PROJECT}:{sys.prefix}/bin:/usr/bin:/bin:relative")
    folders = run(way, workspace, "echo $PATH").splitlines()[0].split(":")
    assert not {str(PROJECT), f"{sys.prefix}/bin", "relative"} & set(folders)
    assert "/usr/bin" in folders


def test_the_command_line_of_a_command_shows_no_environment(way: Confinement, root: Path) -> None:
    workspace = Workspace(root=root, environment={"TOKEN": "very-secret"})
    running = threading.Thread(target=run, args=(way, workspace, "sleep 0.5; : seen"))
    running.start()
    seen: set[str] = set()
    while running.is_alive():
        seen.update(_command_lines_below(os.getpid()))
    assert any(": seen" in line for line in seen)
    assert not any("very-secret" in line for line in seen)


def _command_lines_below(pid: int) -> Iterator[str]:
    for child in census.children(pid):
        with suppress(OSError):
            yield Path(f"/proc/{child}/cmdline").read_text()
        yield from _command_lines_below(child)


def test_the_strongest_working_way_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    choose = confine._strongest.__wrapped__
    monkeypatch.setattr(confine, "bwrap", lambda: Confinement("bwrap"))
    monkeypatch.setattr(confine, "landlock", lambda: Confinement("landlock"))
    assert choose().name == "bwrap"
    monkeypatch.setattr(confine, "bwrap", lambda: None)
    assert choose().name == "landlock"


def test_without_any_way_commands_are_refused_unless_allowed_aloud(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = confine._strongest.__wrapped__
    monkeypatch.setattr(confine, "bwrap", lambda: None)
    monkeypatch.setattr(confine, "landlock", lambda: None)
    monkeypatch.delenv(confine.ALLOW_UNCONFINED, raising=False)
    refused = choose()
    assert "refused" in refused.describe()
    with pytest.raises(ToolError, match=confine.ALLOW_UNCONFINED):
        run(refused, workspace, "true")
    monkeypatch.setenv(confine.ALLOW_UNCONFINED, "1")
    allowed = choose()
    assert "NOT confined" in allowed.describe()
    assert run(allowed, workspace, "echo hi") == "hi\n[exit code 0]"
    monkeypatch.setenv(confine.ALLOW_UNCONFINED, "0")
    assert choose().name == "refused"


def test_a_bwrap_that_does_not_work_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho no namespaces for you >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(confine, "_bwrap_path", lambda: str(broken))
    assert confine.bwrap() is None


def test_a_bwrap_that_confines_nothing_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sham = tmp_path / "bwrap"
    sham.write_text('#!/bin/sh\nshift 3\ncd /tmp && exec "$@"\n')
    sham.chmod(0o755)
    monkeypatch.setattr(confine, "_bwrap_path", lambda: str(sham))
    assert confine.bwrap() is None


@pytest.mark.parametrize(("abi", "namespaces", "works"), [
    (0, True, False), (2, True, False), (3, True, True), (3, False, False), (6, False, True),
])  # fmt: skip
def test_an_old_landlock_is_not_taken_for_confinement(
    monkeypatch: pytest.MonkeyPatch, abi: int, namespaces: bool, works: bool
) -> None:
    monkeypatch.setattr(launch, "landlock_abi", lambda: abi)
    monkeypatch.setattr(confine, "_holds", lambda it: namespaces or not it.pid_namespace)
    assert (confine.landlock() is not None) is works


def test_this_machine_confines_commands() -> None:
    if not shutil.which("bwrap") and launch.landlock_abi() < launch.SCOPES_SINCE_ABI:
        pytest.skip("this machine has neither bwrap nor a Landlock that is new enough")
    assert confine.confinement().name in ("bwrap", "landlock")
    began = time.monotonic()
    assert confine.confinement() is confine.confinement()
    assert time.monotonic() - began < 0.05
    assert "confined by" in confine.confinement().describe()


def test_a_launcher_whose_worker_is_gone_runs_nothing(
    way: Confinement, workspace: Workspace, root: Path, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    confine.prepare_scratch(scratch)
    plan = way.plan("touch ran", workspace, scratch)
    orphaned = confine.Plan(**{**{f: getattr(plan, f) for f in plan.__slots__}, "worker": 2})
    with open(os.devnull, "wb") as nowhere:
        process = confine.start(orphaned, output=nowhere.fileno())
    assert process.wait(10) == launch.CANNOT_START
    assert not soon((root / "ran").exists, seconds=0.3)
