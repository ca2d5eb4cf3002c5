"""Glob and Grep find what is in the worktree, in bounded time, and nothing outside."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime.tools import search, tree
from agents.runtime.tools.registry import Interrupted, ToolError, Workspace
from agents.runtime.tools.search import MAX_FILES, Glob, Grep
from tests.agents.runtime.races import exchange


def put(root: Path, path: str, text: str = "", *, age: int = 0) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    os.utime(file, (1_000_000 - age, 1_000_000 - age))


def glob(workspace: Workspace, pattern: str, **more: Any) -> list[str]:
    return Glob().run({"pattern": pattern, **more}, workspace).splitlines()


def grep(workspace: Workspace, pattern: str, **more: Any) -> str:
    return Grep().run({"pattern": pattern, **more}, workspace)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.py", "a.py", True),
        ("*.py", "sub/a.py", False),
        ("**/*.py", "a.py", True),
        ("**/*.py", "sub/deep/a.py", True),
        ("src/**", "src/a/b.c", True),
        ("src/**/b.c", "src/b.c", True),
        ("src/*/b.c", "src/b.c", False),
        ("**/test_?.py", "x/test_1.py", True),
        ("*.{ts,tsx}", "a.tsx", True),
        ("{src,lib}/**/*.{c,h}", "lib/x/a.h", True),
        ("{src,lib}/**/*.{c,h}", "bin/x/a.h", False),
        ("[ab].c", "b.c", True),
        ("**/**/**/a", "a", True),
        ("a/**/b/**/c", "a/x/b/c", True),
        ("a/**/b/**/c", "a/x/c", False),
    ],
)
def test_a_pattern_fits_paths(pattern: str, path: str, fits: bool) -> None:
    assert tree.matcher(pattern)(path) is fits


@given(st.lists(st.sampled_from(["**", "*", "a*a*a*b"]), min_size=1, max_size=12))
def test_no_pattern_takes_long(parts: list[str]) -> None:
    began = time.monotonic()
    tree.matcher("/".join(parts))("/".join(["a" * 40] * 20))
    assert time.monotonic() - began < 1


def test_files_come_newest_first_and_without_git(workspace: Workspace, root: Path) -> None:
    put(root, "old.py", age=20)
    put(root, "sub/new.py", age=1)
    put(root, "sub/middle.py", age=10)
    put(root, ".git/hooks/x.py")
    assert glob(workspace, "**/*.py") == ["sub/new.py", "sub/middle.py", "old.py"]
    assert glob(workspace, "*.py", path="sub") == ["sub/new.py", "sub/middle.py"]
    assert glob(workspace, f"{root}/*.py") == ["old.py"]
    assert glob(workspace, "*.rs") == ["No files match."]


def test_a_long_list_is_cut_and_says_so(workspace: Workspace, root: Path) -> None:
    for number in range(MAX_FILES + 5):
        (root / f"{number}.txt").touch()
    lines = glob(workspace, "*.txt")
    assert len(lines) == MAX_FILES + 1
    assert lines[-1] == f"[cut: the newest {MAX_FILES} of {MAX_FILES + 5} files]"


def test_neither_search_leaves_the_worktree(
    workspace: Workspace, root: Path, tmp_path: Path
) -> None:
    put(tmp_path, "outside/secret.txt", "secret")
    (root / "folder").symlink_to(tmp_path / "outside")
    (root / "file.txt").symlink_to(tmp_path / "outside/secret.txt")
    assert glob(workspace, "**/*.txt") == ["No files match."]
    assert grep(workspace, "secret") == "No matches."
    for path in ("folder", "..", "../outside", str(tmp_path), "file.txt"):
        with pytest.raises(ToolError, match="outside"):
            grep(workspace, "secret", path=path)
        with pytest.raises(ToolError, match="outside"):
            glob(workspace, "*", path=path)
    for pattern in ("../**", "/etc/*", "a/../../*"):
        with pytest.raises(ToolError, match="outside"):
            glob(workspace, pattern)


def test_a_folder_swapped_for_a_link_during_a_walk_leads_nowhere(
    workspace: Workspace, root: Path, tmp_path: Path
) -> None:
    put(tmp_path, "outside/secret.txt", "secret")
    (root / "sub").mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            exchange(root / "sub", root / "link")

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for _ in range(500):
            assert glob(workspace, "**/secret.txt") == ["No files match."]
        for _ in range(5):
            assert grep(workspace, "secret") == "No matches."
    finally:
        done.set()
        swapping.join()


def test_matching_lines_come_with_path_and_number(workspace: Workspace, root: Path) -> None:
    put(root, "a.txt", "one\nTwo\nthree\n")
    put(root, "sub/b.py", "two\n")
    (root / "binary").write_bytes(b"\0two")
    assert grep(workspace, "two") == "sub/b.py:1:two"
    assert grep(workspace, "TWO", ignore_case=True) == "a.txt:2:Two\nsub/b.py:1:two"
    assert grep(workspace, r"^t\w+e$", path="a.txt") == "a.txt:3:three"
    assert grep(workspace, "t", path="sub") == "sub/b.py:1:two"
    assert grep(workspace, "t", glob="*.py") == "sub/b.py:1:two"
    assert grep(workspace, "t", path=str(root / "sub/b.py")) == "sub/b.py:1:two"
    assert grep(workspace, "four") == "No matches."


def test_grep_lists_files_and_counts(workspace: Workspace, root: Path) -> None:
    put(root, "a.txt", "x\nx\ny\n")
    put(root, "b.txt", "x\n")
    assert grep(workspace, "x", output_mode="files") == "a.txt\nb.txt"
    assert grep(workspace, "x", output_mode="count") == "a.txt:2\nb.txt:1"


def test_context_is_shown_once_and_gaps_are_marked(workspace: Workspace, root: Path) -> None:
    put(root, "a", "\n".join(["1", "x", "3", "x", "5", "6", "7", "8", "x", "10"]))
    assert grep(workspace, "x", context=1).splitlines() == [
        "a-1-1", "a:2:x", "a-3-3", "a:4:x", "a-5-5", "--", "a-8-8", "a:9:x", "a-10-10",
    ]  # fmt: skip


def test_a_search_is_cut_at_its_limit_and_says_so(workspace: Workspace, root: Path) -> None:
    put(root, "a", "x\n" * 50)
    put(root, "b", "x" * 100_000)
    assert grep(workspace, "x", limit=3, path="a").splitlines() == [
        "a:1:x", "a:2:x", "a:3:x", "[cut after 3 lines; narrow the search]",
    ]  # fmt: skip
    assert len(grep(workspace, "x", path="b")) < 600


def test_a_pattern_that_is_none_is_told(workspace: Workspace) -> None:
    with pytest.raises(ToolError, match=r"The pattern cannot be used: .*unterminated"):
        grep(workspace, "(")
    with pytest.raises(ToolError, match="alternatives"):
        glob(workspace, "{a,b}" * 10)


def test_a_pattern_that_backtracks_without_end_is_ended(
    workspace: Workspace, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "a", "found it\n")
    put(root, "b", "a" * 60 + "!\n")
    monkeypatch.setattr(search, "SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(ToolError, match=r"a:1:found it\n\[cut: the search was ended after 0.5 s"):
        grep(workspace, r"found|(a+)+$")
    assert time.monotonic() - began < 5


def test_a_stopped_search_gives_up_at_once(root: Path) -> None:
    put(root, "b", "a" * 60 + "!\n")
    stop = threading.Event()
    stop.set()
    workspace = Workspace(root=root, stop=stop)
    began = time.monotonic()
    with pytest.raises(Interrupted):
        grep(workspace, "(a+)+$")
    with pytest.raises(Interrupted):
        glob(workspace, "*")
    assert time.monotonic() - began < 5


def test_fifos_and_very_deep_folders_do_no_harm(workspace: Workspace, root: Path) -> None:
    os.mkfifo(root / "fifo")
    put(root, "a", "x\n")
    folder = os.open(root, os.O_RDONLY)
    for _ in range(tree.DEEPEST + 400):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    assert glob(workspace, "**/*") == ["a"]
    assert grep(workspace, "x") == "a:1:x"
