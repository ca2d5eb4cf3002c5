"""Read, Write and Edit do their work inside the worktree and nowhere else."""

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agents.runtime.tools.files import MAX_LINES, Edit, Read, Write
from agents.runtime.tools.registry import Limits, ToolError, Workspace
from tests.agents.runtime.races import exchange


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    return folder


def read(workspace: Workspace, path: str, **more: Any) -> str:
    return Read().run({"path": path, **more}, workspace)


def write(workspace: Workspace, path: str, content: str = "new") -> str:
    return Write().run({"path": path, "content": content}, workspace)


def edit(workspace: Workspace, path: str, old: str, new: str, **more: Any) -> str:
    return Edit().run({"path": path, "old_string": old, "new_string": new, **more}, workspace)


def test_reading_numbers_the_lines(workspace: Workspace, root: Path) -> None:
    (root / "a.txt").write_text("one\ntwo\r\nthree")
    assert read(workspace, "a.txt") == "     1\tone\n     2\ttwo\n     3\tthree"


def test_reading_goes_on_where_it_was_cut(workspace: Workspace, root: Path) -> None:
    (root / "a.txt").write_text("one\ntwo\nthree\n")
    assert read(workspace, "a.txt", offset=2, limit=1) == (
        "     2\ttwo\n[cut here; go on with offset 3]"
    )
    assert read(workspace, "a.txt", offset=3) == "     3\tthree"
    with pytest.raises(ToolError, match="has 3 lines"):
        read(workspace, "a.txt", offset=4)


def test_reading_is_capped_in_lines_and_bytes_and_says_so(root: Path) -> None:
    (root / "many").write_text("x\n" * (MAX_LINES + 1))
    (root / "long").write_text("y" * 10_000 + "\nlast\n")
    small = Workspace(root=root, limits=Limits(output_bytes=4000))
    assert f"go on with offset {MAX_LINES + 1}]" in read(Workspace(root=root), "many")
    assert len(read(small, "many")) < 4000
    assert "[cut here; go on with offset" in read(small, "many")
    assert "[... 8001 bytes of this line left out]\n     2\tlast" in read(small, "long")


def test_an_empty_file_a_folder_and_a_missing_file_are_told_apart(
    workspace: Workspace, root: Path
) -> None:
    (root / "empty").touch()
    assert read(workspace, "empty") == "(the file is empty)"
    with pytest.raises(ToolError, match="is a folder"):
        read(workspace, ".")
    with pytest.raises(ToolError, match="No such file"):
        read(workspace, "none/at/all")


def test_a_binary_file_is_refused_politely(workspace: Workspace, root: Path) -> None:
    (root / "image").write_bytes(b"\x89PNG\0\0")
    with pytest.raises(ToolError, match="binary file of 6 bytes"):
        read(workspace, "image")
    with pytest.raises(ToolError, match="binary"):
        edit(workspace, "image", "PNG", "GIF")


def test_special_files_are_refused_without_waiting(workspace: Workspace, root: Path) -> None:
    os.mkfifo(root / "fifo")
    for call in (
        lambda: read(workspace, "fifo"),
        lambda: write(workspace, "fifo"),
        lambda: edit(workspace, "fifo", "a", "b"),
    ):
        with pytest.raises(ToolError, match="not a regular file"):
            call()


def test_writing_makes_folders_and_keeps_permissions(workspace: Workspace, root: Path) -> None:
    assert write(workspace, "a/b/c.sh", "echo") == "Created a/b/c.sh (4 bytes)."
    (root / "a/b/c.sh").chmod(0o750)
    assert write(workspace, "a/b/c.sh", "echo é") == "Replaced a/b/c.sh (7 bytes)."
    assert (root / "a/b/c.sh").read_text() == "echo é"
    assert stat.S_IMODE((root / "a/b/c.sh").stat().st_mode) == 0o750
    assert os.listdir(root / "a/b") == ["c.sh"]


def test_an_absolute_path_inside_the_worktree_is_accepted(workspace: Workspace, root: Path) -> None:
    write(workspace, f"{root}/a.txt", "text")
    assert read(workspace, f"{root}/sub/../a.txt".replace("/sub/..", "")) == "     1\ttext"


def test_editing_replaces_exactly_one_text(workspace: Workspace, root: Path) -> None:
    (root / "a.txt").write_text("one two one")
    assert edit(workspace, "a.txt", "two", "2") == "Replaced 1 occurrence in a.txt."
    with pytest.raises(ToolError, match="2 times"):
        edit(workspace, "a.txt", "one", "1")
    assert edit(workspace, "a.txt", "one", "1", replace_all=True) == (
        "Replaced 2 occurrences in a.txt."
    )
    assert (root / "a.txt").read_text() == "1 2 1"


def test_an_edit_that_would_do_nothing_is_refused(workspace: Workspace, root: Path) -> None:
    (root / "a.txt").write_text("one")
    with pytest.raises(ToolError, match="not in the file"):
        edit(workspace, "a.txt", "two", "2")
    with pytest.raises(ToolError, match="the same"):
        edit(workspace, "a.txt", "one", "one")
    with pytest.raises(ToolError, match="No such file"):
        edit(workspace, "new/b.txt", "one", "1")
    assert os.listdir(root) == ["a.txt"]


def test_editing_keeps_line_endings_and_foreign_bytes(workspace: Workspace, root: Path) -> None:
    (root / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n\xe9nd\r\n")
    edit(workspace, "a.txt", "one\ntwo", "1\n2")
    assert (root / "a.txt").read_bytes() == b"\xef\xbb\xbf1\r\n2\r\n\xe9nd\r\n"


@pytest.mark.parametrize(
    "path",
    ["../outside/secret", "/etc/passwd", "sub/../../outside/secret", "link/secret", "file", "up"],
)
def test_no_path_leads_outside(workspace: Workspace, root: Path, outside: Path, path: str) -> None:
    (root / "sub").mkdir()
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    (root / "up").symlink_to("../outside/secret")
    for call in (
        lambda: read(workspace, path),
        lambda: write(workspace, path),
        lambda: edit(workspace, path, "secret", "gone"),
    ):
        with pytest.raises(ToolError, match="outside"):
            call()
    assert (outside / "secret").read_text() == "secret"
    assert os.listdir(outside) == ["secret"]


def test_a_sibling_whose_name_begins_like_the_worktree_is_outside(
    workspace: Workspace, root: Path
) -> None:
    sibling = root.with_name("root2")
    sibling.mkdir()
    with pytest.raises(ToolError, match="outside"):
        write(workspace, f"{sibling}/a")


def test_links_that_stay_inside_are_followed(workspace: Workspace, root: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub/a.txt").write_text("text")
    (root / "relative").symlink_to("sub/../sub/a.txt")
    (root / "absolute").symlink_to(root / "sub")
    assert read(workspace, "relative") == read(workspace, "absolute/a.txt") == "     1\ttext"
    assert write(workspace, "relative") == "Replaced sub/a.txt (3 bytes)."
    assert (root / "relative").is_symlink()


def test_links_in_a_circle_end(workspace: Workspace, root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(ToolError, match="Too many symbolic links"):
        read(workspace, "a")


@pytest.mark.parametrize("path", [".git", ".git/config", ".GIT/hooks/x", "link/config", "s/.git/x"])
def test_nothing_of_git_is_written(workspace: Workspace, root: Path, path: str) -> None:
    (root / ".git").mkdir()
    (root / ".git/config").write_text("[core]")
    (root / "link").symlink_to(".git")
    with pytest.raises(ToolError, match=r"\.git"):
        write(workspace, path)
    assert os.listdir(root / ".git") == ["config"]
    assert read(workspace, ".git/config") == "     1\t[core]"


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "x" * 300])
def test_a_path_that_no_file_can_have_is_told(workspace: Workspace, path: str) -> None:
    with pytest.raises(ToolError):
        write(workspace, path)


def test_text_without_a_utf8_form_is_refused(workspace: Workspace, root: Path) -> None:
    with pytest.raises(ToolError, match="UTF-8"):
        write(workspace, "a", "\udc80")
    assert os.listdir(root) == []


def test_a_folder_swapped_for_a_link_during_a_write_leads_nowhere(
    workspace: Workspace, root: Path, outside: Path
) -> None:
    (root / "sub").mkdir()
    (root / "link").symlink_to(outside)
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            exchange(root / "sub", root / "link")

    swapping = threading.Thread(target=swap)
    swapping.start()
    outcomes = {"written": 0, "refused": 0}
    try:
        for _ in range(3000):
            try:
                write(workspace, "sub/planted")
                outcomes["written"] += 1
            except ToolError:
                outcomes["refused"] += 1
            with suppress(ToolError):
                assert "secret" not in read(workspace, "sub/secret")
    finally:
        done.set()
        swapping.join()
    assert os.listdir(outside) == ["secret"]
    # Both happened, or there was no race to test.
    assert all(outcomes.values())


def test_a_file_swapped_for_a_link_during_a_read_leads_nowhere(
    workspace: Workspace, root: Path, outside: Path
) -> None:
    (root / "file").write_text("own")
    (root / "link").symlink_to(outside / "secret")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            exchange(root / "file", root / "link")

    swapping = threading.Thread(target=swap)
    swapping.start()
    shown = refused = 0
    try:
        for _ in range(5000):
            try:
                assert read(workspace, "file") == "     1\town"
                shown += 1
            except ToolError:
                refused += 1
    finally:
        done.set()
        swapping.join()
    assert shown
    assert refused
