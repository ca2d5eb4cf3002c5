"""Files go into a repository and come out again as they were, whatever an agent left there."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from executions import git
from executions.git.command import Git
from tests.executions.repositories import a_repository, files_of, is_untouched
from tests.executions.repositories import git as person


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return a_repository(tmp_path / "repository", {"a.txt": "one\ntwo\n", "dir/b.txt": "b\n"})


@pytest.fixture
def files(repository: Path, tmp_path: Path) -> git.Files:
    """A worktree of the repository, as an agent finds it."""
    return _files(repository, tmp_path / "work", "agent/ada/task")


def _files(repository: Path, folder: Path, branch: str) -> git.Files:
    git_dir = git.repository_git_dir(repository)
    files = git.Files(git_dir, folder / "files", folder / "files.git")
    folder.mkdir()
    base = git.resolve(git_dir, "main")
    git.add_worktree(git_dir, files.directory, branch, base)
    git.open_files(files)
    git.restore_tree(files, base)
    git.show_index(files)
    return files


def _keep(files: git.Files, parent: str = "main") -> str:
    commit = git.keep_tree(files, git.resolve(files.git_dir, parent), "Kept")
    assert commit is not None
    git.set_ref(files.git_dir, "refs/signalbox/test/1", commit)
    return commit


def _snapshot(directory: Path) -> dict[bytes, tuple[int, bytes]]:
    """Every file and link with what it holds; for files, whether they can be executed."""
    found = {}
    for folder, _, names in os.walk(os.fsencode(directory)):
        for name in names:
            path = os.path.join(folder, name)
            is_link = os.path.islink(path)
            content = os.readlink(path) if is_link else Path(os.fsdecode(path)).read_bytes()
            mode = 0 if is_link else os.stat(path).st_mode & 0o100
            found[os.path.relpath(path, os.fsencode(directory))] = (mode, content)
    found.pop(b".git", None)
    return found


def _rebuilt(files: git.Files, commit: str) -> git.Files:
    other = git.Files(
        files.git_dir, files.directory.with_name("other"), files.private.with_name("other.git")
    )
    other.directory.mkdir()
    git.open_files(other)
    git.restore_tree(other, commit)
    return other


# --- what a repository is -------------------------------------------------------------------------


def test_the_top_a_bare_repository_and_a_linked_worktree_are_repositories(
    repository: Path, tmp_path: Path
) -> None:
    assert git.repository_git_dir(repository) == repository / ".git"
    assert git.work_tree(repository) == repository
    person(repository, "clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    assert git.repository_git_dir(tmp_path / "bare") == tmp_path / "bare"
    assert git.work_tree(tmp_path / "bare") is None
    person(repository, "worktree", "add", "--quiet", str(tmp_path / "linked"), "-b", "linked")
    assert git.repository_git_dir(tmp_path / "linked") == repository / ".git"


@pytest.mark.parametrize("name", ["dir", "dir/b.txt", "nowhere"])
def test_a_folder_inside_a_repository_a_file_and_nothing_are_no_repositories(
    repository: Path, name: str
) -> None:
    with pytest.raises(git.NotARepository) as caught:
        git.repository_git_dir(repository / name)
    assert caught.value.code == "NOT_A_GIT_REPOSITORY"


def test_an_unknown_revision_is_an_error(repository: Path) -> None:
    git_dir = git.repository_git_dir(repository)
    for revision in ("nothing", "--all", "", "main:a.txt"):
        with pytest.raises(git.GitError):
            git.resolve(git_dir, revision)


def test_a_command_that_takes_too_long_is_ended(repository: Path) -> None:
    git_dir = git.repository_git_dir(repository)
    os.mkfifo(repository / "fifo")
    with pytest.raises(git.GitError, match=r"took longer than 0\.2 s"):
        Git(git_dir, work_tree=repository).run("hash-object", "--", "fifo", seconds=0.2)
    with pytest.raises(git.GitError):
        Git(git_dir, work_tree=repository).read("hash-object", "fifo", limit=9, seconds=0.2)


# --- branches and refs ----------------------------------------------------------------------------


def test_a_free_branch_gets_the_first_free_suffix(repository: Path) -> None:
    git_dir = git.repository_git_dir(repository)
    assert git.free_branch(git_dir, "agent/a/b") == "agent/a/b"
    person(repository, "branch", "agent/a/b")
    assert git.free_branch(git_dir, "agent/a/b") == "agent/a/b-2"
    assert git.free_branch(git_dir, "agent/a/b", taken=["agent/a/b-2"]) == "agent/a/b-3"
    person(repository, "branch", "agent/a/c/below")
    assert git.free_branch(git_dir, "agent/a/c") == "agent/a/c-2"


def test_no_free_branch_is_refused(repository: Path) -> None:
    git_dir = git.repository_git_dir(repository)
    taken = ["x/y", *(f"x/y-{n}" for n in range(2, 51))]
    with pytest.raises(git.BranchTaken) as caught:
        git.free_branch(git_dir, "x/y", taken=taken)
    assert caught.value.code == "WORKTREE_BRANCH_EXISTS"
    person(repository, "branch", "agent")
    with pytest.raises(git.BranchTaken, match="A branch agent stands"):
        git.free_branch(git_dir, "agent/a/b")


def test_a_branch_moves_only_from_where_it_was_expected(repository: Path) -> None:
    git_dir = git.repository_git_dir(repository)
    first = git.resolve(git_dir, "main")
    person(repository, "commit", "--quiet", "--allow-empty", "--message=Second")
    second = git.resolve(git_dir, "main")
    git.set_branch(git_dir, "b", first, None)
    with pytest.raises(git.GitError):
        git.set_branch(git_dir, "b", second, None)
    with pytest.raises(git.GitError):
        git.set_branch(git_dir, "b", first, second)
    assert git.tip(git_dir, "b") == first
    git.set_branch(git_dir, "b", second, first)
    assert git.tip(git_dir, "b") == second


def test_a_ref_written_by_two_loses_neither_commit(repository: Path) -> None:
    git_dir = git.repository_git_dir(repository)
    base = git.resolve(git_dir, "main")
    for text in ("one", "other"):
        commit = person(repository, "commit-tree", f"{base}^{{tree}}", "-p", base, "-m", text)
        git.set_ref(git_dir, "refs/signalbox/e/1", commit)
    log = person(repository, "for-each-ref", "--format=%(subject)", "refs/signalbox/")
    assert sorted(log.split("\n")) == ["one", "other"]
    git.set_ref(git_dir, "refs/signalbox/e/1", commit)
    later = person(repository, "commit-tree", f"{base}^{{tree}}", "-p", commit, "-m", "later")
    git.set_ref(git_dir, "refs/signalbox/e/1", later)
    log = person(repository, "for-each-ref", "--format=%(subject)", "refs/signalbox/")
    assert sorted(log.split("\n")) == ["later", "one"]


def test_a_worktree_that_was_half_made_is_made_again(files: git.Files, repository: Path) -> None:
    base = git.resolve(files.git_dir, "main")
    subprocess.run(["rm", "-rf", str(files.directory)], check=True)
    git.add_worktree(files.git_dir, files.directory, "agent/ada/task", base)
    assert person(repository, "worktree", "list").count("agent/ada/task") == 1
    git.remove_worktree(files.git_dir, files.directory)
    git.remove_worktree(files.git_dir, files.directory)
    assert person(repository, "worktree", "list").count("\n") == 0


def test_removing_a_worktree_leaves_those_of_the_person(
    files: git.Files, repository: Path, tmp_path: Path
) -> None:
    person(repository, "worktree", "add", "--quiet", str(tmp_path / "mine"), "-b", "mine")
    (tmp_path / "mine").rename(tmp_path / "unmounted")
    git.remove_worktree(files.git_dir, files.directory)
    (tmp_path / "unmounted").rename(tmp_path / "mine")
    assert person(tmp_path / "mine", "status", "--porcelain") == ""


# --- files in and out -----------------------------------------------------------------------------


def test_a_person_sees_a_clean_worktree_on_its_branch(files: git.Files) -> None:
    assert person(files.directory, "status", "--porcelain") == ""
    assert person(files.directory, "branch", "--show-current") == "agent/ada/task"


def test_files_that_did_not_change_are_no_commit(files: git.Files) -> None:
    base = git.resolve(files.git_dir, "main")
    assert git.keep_tree(files, base, "Nothing") is None
    os.utime(files.directory / "a.txt", (1, 1))
    assert git.keep_tree(files, base, "Nothing") is None


def test_what_an_agent_made_is_rebuilt_byte_for_byte(files: git.Files, repository: Path) -> None:
    top = files.directory
    (top / "a.txt").unlink()
    (top / "dir" / "b.txt").rename(top / "renamed.txt")
    (top / "run.sh").write_text("#!/bin/sh\n")
    (top / "run.sh").chmod(0o755)
    (top / "link").symlink_to("/etc/passwd")
    (top / "dangling").symlink_to("nowhere")
    (top / "binary").write_bytes(bytes(range(256)))
    (top / "crlf.txt").write_bytes(b"one\r\ntwo\r\n")
    (top / ".gitattributes").write_text("* text=auto eol=lf ident\n*.txt text eol=crlf\n")
    (top / "ident").write_text("$Id$\n")
    for name in (
        b"a b",
        b"new\nline",
        b'quo"te',
        b"-rf",
        b"t\tab",
        b"latin-\xe9",
        b":(top)x",
        b"*",
    ):
        Path(os.fsdecode(os.path.join(os.fsencode(top), name))).write_bytes(name)
    commit = _keep(files)
    assert _snapshot(_rebuilt(files, commit).directory) == _snapshot(top)
    assert git.keep_tree(files, commit, "Again") is None
    assert is_untouched(repository)


def test_an_agents_diff_names_everything_and_fits_into_json(files: git.Files) -> None:
    top = files.directory
    (top / "a.txt").write_text("one\nTWO\nthree\n")
    (top / "dir" / "b.txt").rename(top / "moved.txt")
    (top / "binary").write_bytes(b"\0" * 10)
    (top / "late-nul").write_bytes(b"x\n" * 9000 + b"\0\xff\n")
    Path(os.fsdecode(os.fsencode(top) + b"/\xff\nx")).write_bytes(b"\xff\n")
    (top / "run.sh").symlink_to("a.txt")
    diff = git.diff(files.git_dir, "main", _keep(files))
    by_path = {file.path: file for file in diff.files}
    assert (by_path["a.txt"].status, by_path["a.txt"].additions) == ("modified", 2)
    assert (by_path["moved.txt"].status, by_path["moved.txt"].old_path) == ("renamed", "dir/b.txt")
    assert by_path["binary"].binary
    assert by_path["\\xff\nx"].status == "added"
    assert diff.stat == {"files": 6, "additions": 2 + 9001 + 1 + 1, "deletions": 1}
    assert "+TWO" in diff.patch
    assert not diff.cut
    text = json.dumps(diff.as_json(), ensure_ascii=False)
    assert "\\u0000" not in text
    text.encode()


def test_a_long_patch_is_cut_at_a_line_and_says_so(files: git.Files) -> None:
    (files.directory / "long").write_text("0123456789\n" * 100_000)
    diff = git.diff(files.git_dir, "main", _keep(files), patch_bytes=10_000)
    assert diff.cut
    assert 9_900 < len(diff.patch) <= 10_000
    assert diff.patch.endswith("+0123456789\n")
    assert diff.stat["additions"] == 100_000


def test_ignored_files_are_not_kept_but_ignored_ones_that_are_tracked_are(
    files: git.Files, repository: Path
) -> None:
    (files.directory / ".gitignore").write_text("*.o\n/dir/\n")
    (files.directory / "x.o").write_text("object")
    (files.directory / "by-person").write_text("private")
    (files.directory / "dir" / "b.txt").write_text("changed\n")
    (files.directory / "dir" / "new").write_text("ignored\n")
    (repository / ".git" / "info" / "exclude").write_text("by-person\n")
    commit = _keep(files)
    assert [line[7:] for line in files_of(repository, commit)] == [
        ".gitignore",
        "a.txt",
        "dir/b.txt",
    ]
    assert person(repository, "show", f"{commit}:dir/b.txt") == "changed"


def test_excluded_paths_are_not_kept(files: git.Files, repository: Path) -> None:
    git.open_files(files, exclude=[".env", "sec ret*"])
    git.restore_tree(files, git.resolve(files.git_dir, "main"))
    for name in (".env", "sec ret*", "sec retfile"):
        (files.directory / name).write_text("secret")
    paths = [line[7:] for line in files_of(repository, _keep(files))]
    assert paths == ["a.txt", "dir/b.txt", "sec retfile"]


def test_a_nested_repository_is_kept_as_files_again_and_again(
    files: git.Files, repository: Path
) -> None:
    nested = a_repository(
        files.directory / "deep" / "nested", {"n.txt": "n", "sub/m.txt": "m", ".gitignore": "*.o\n"}
    )
    (nested / "x.o").write_text("ignored")
    (nested / ":(top)y").write_text("odd")
    a_repository(nested / "inner", {"i.txt": "i"})
    first = _keep(files)
    kept = [line[7:] for line in files_of(repository, first)]
    names = [".gitignore", ":(top)y", "inner/i.txt", "n.txt", "sub/m.txt"]
    assert kept == ["a.txt", *(f"deep/nested/{name}" for name in names), "dir/b.txt"]
    (nested / "n.txt").unlink()
    (nested / "o.txt").write_text("o")
    second = git.keep_tree(files, first, "Again")
    assert second is not None
    kept = [line[7:] for line in files_of(repository, second)]
    assert "deep/nested/o.txt" in kept
    assert "deep/nested/n.txt" not in kept
    assert is_untouched(repository)


def test_a_submodule_of_the_repository_stays_as_it_is(tmp_path: Path) -> None:
    other = a_repository(tmp_path / "other")
    repository = a_repository(tmp_path / "super")
    person(repository, "submodule", "--quiet", "add", str(other), "sub")
    person(repository, "commit", "--quiet", "--message=Submodule")
    files = _files(repository, tmp_path / "work", "agent/a/b")
    base = git.resolve(files.git_dir, "main")
    assert git.keep_tree(files, base, "Nothing") is None
    (files.directory / "sub").rmdir()
    a_repository(files.directory / "sub", {"x": "x"})
    assert git.keep_tree(files, base, "Nothing") is None


def test_folders_links_and_pipes_that_replace_files_take_their_place(
    files: git.Files, repository: Path
) -> None:
    top = files.directory
    (top / "a.txt").unlink()
    (top / "a.txt").mkdir()
    (top / "a.txt" / "inside").write_text("x")
    (top / "dir" / "b.txt").rename(top / "b.txt")
    (top / "dir").rmdir()
    (top / "dir").symlink_to(".")
    os.mkfifo(top / "pipe")
    commit = _keep(files)
    assert files_of(repository, commit) == ["100644 a.txt/inside", "100644 b.txt", "120000 dir"]
    (top / "b.txt").unlink()
    os.mkfifo(top / "b.txt")
    (top / "a.txt" / "inside").unlink()
    second = git.keep_tree(files, commit, "Again")
    assert second is not None
    assert files_of(repository, second) == ["120000 dir"]


def test_names_that_git_refuses_and_paths_too_long_do_not_break_it(
    files: git.Files, repository: Path
) -> None:
    top = files.directory
    for name in ("git~1", ".GIT", "a\\.git"):
        (top / name).write_text("x")
    (top / "ok").write_text("fine")
    here = os.open(top, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("deep", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    assert "100644 ok" in files_of(repository, _keep(files))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_stays_as_it_was(files: git.Files, repository: Path) -> None:
    (files.directory / "a.txt").chmod(0)
    (files.directory / "dir").chmod(0)
    (files.directory / "new").write_text("x")
    try:
        kept = files_of(repository, _keep(files))
    finally:
        (files.directory / "dir").chmod(0o755)
    assert kept == ["100644 a.txt", "100644 dir/b.txt", "100644 new"]


# --- hostile files --------------------------------------------------------------------------------


def _hostile(folder: Path, mark: Path) -> None:
    """A repository whose every program leaves the mark."""
    program = folder / "program"
    program.write_text(f"#!/bin/sh\necho ran >> {mark}\ncat\n")
    program.chmod(0o755)
    for name, value in {
        "core.fsmonitor": str(program),
        "core.hooksPath": str(folder),
        "core.sshCommand": str(program),
        "core.excludesFile": "/dev/zero",
        "diff.external": str(program),
        "filter.evil.clean": str(program),
        "filter.evil.smudge": str(program),
        "filter.evil.process": str(program),
        "filter.evil.required": "true",
        "diff.evil.textconv": str(program),
    }.items():
        person(folder, "config", name, value)
    for hook in ("post-checkout", "reference-transaction", "post-index-change", "fsmonitor"):
        (folder / hook).symlink_to(program)
    (folder / ".gitattributes").write_text("* filter=evil diff=evil\n")


def test_a_repository_that_an_agent_puts_in_place_never_runs_anything(
    files: git.Files, repository: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    top = files.directory
    (top / ".git").unlink()
    person(top, "init", "--quiet")
    _hostile(top, mark)
    nested = a_repository(top / "nested")
    _hostile(nested, mark)
    first = _keep(files)
    (nested / "README").write_text("changed")
    second = git.keep_tree(files, first, "Again")
    assert second is not None
    git.diff(files.git_dir, "main", second)
    git.show_index(files)
    _rebuilt(files, second)
    git.remove_worktree(files.git_dir, top)
    assert not mark.exists()
    assert is_untouched(repository)


def test_a_driver_of_the_person_does_not_run_on_an_agents_files(
    files: git.Files, repository: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("clean", "smudge"):
        person(repository, "config", f"filter.mine.{name}", f"touch {mark}; cat")
    person(repository, "config", "filter.mine.required", "true")
    person(repository, "config", "core.autocrlf", "true")
    person(repository, "config", "core.fsmonitor", f"touch {mark}")
    (files.directory / ".gitattributes").write_text("* filter=mine\n")
    (files.directory / "x").write_bytes(b"a\r\nb\n")
    commit = _keep(files)
    _rebuilt(files, commit)
    assert not mark.exists()
    assert Git(files.git_dir).run("cat-file", "blob", f"{commit}:x") == b"a\r\nb\n"


@pytest.mark.parametrize(
    "attributes", ["* filter=unknown", "* working-tree-encoding=UTF-16", "[attr]text -text\n* text"]
)
def test_attributes_of_an_agent_are_harmless(files: git.Files, attributes: str) -> None:
    (files.directory / ".gitattributes").write_text(f"{attributes}\n")
    (files.directory / "x").write_bytes(b"\xff\xfe\r\n")
    commit = _keep(files)
    assert Git(files.git_dir).run("cat-file", "blob", f"{commit}:x") == b"\xff\xfe\r\n"
    assert _snapshot(_rebuilt(files, commit).directory) == _snapshot(files.directory)


def test_links_to_outside_are_kept_as_links(
    files: git.Files, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b.txt").write_text("secret")
    (files.directory / "link").symlink_to(tmp_path / "secret")
    (files.directory / "dir" / "b.txt").unlink()
    (files.directory / "dir").rmdir()
    (files.directory / "dir").symlink_to(tmp_path / "folder")
    commit = _keep(files)
    assert files_of(repository, commit) == ["100644 a.txt", "120000 dir", "120000 link"]


# --- many at once ---------------------------------------------------------------------------------


def test_many_executions_work_on_one_repository_at_once(repository: Path, tmp_path: Path) -> None:
    start = threading.Barrier(6)

    def work(n: int) -> str:
        start.wait()
        with git.lock(tmp_path / "lock", seconds=60):
            files = _files(repository, tmp_path / f"work{n}", f"agent/ada/{n}")
        parent = git.resolve(files.git_dir, "main")
        for turn in range(3):
            (files.directory / f"file{turn}").write_text(str(n))
            kept = git.keep_tree(files, parent, "Kept")
            assert kept is not None
            parent = kept
            with git.lock(tmp_path / "lock", seconds=60):
                git.set_ref(files.git_dir, f"refs/signalbox/{n}/{turn}", parent)
        return parent

    with ThreadPoolExecutor(6) as pool:
        commits = list(pool.map(work, range(6)))
    for n, commit in enumerate(commits):
        assert person(repository, "show", f"{commit}:file2") == str(n)
    assert is_untouched(repository)


def test_a_lock_that_is_held_too_long_is_an_error(tmp_path: Path) -> None:
    again = git.lock(tmp_path / "lock", seconds=0.1)
    held = git.lock(tmp_path / "lock", seconds=0.1)
    with held, pytest.raises(git.RepositoryBusy), again:
        pass
    with git.lock(tmp_path / "lock", seconds=0.1):
        pass


# --- repositories elsewhere -----------------------------------------------------------------------


def test_a_clone_follows_its_url_and_leaves_our_branches(repository: Path, tmp_path: Path) -> None:
    url, clone = repository.as_uri(), tmp_path / "clones" / "c.git"
    person(repository, "branch", "old")
    git.ensure_clone(url, clone)
    base = git.resolve(clone, "refs/remotes/origin/main")
    git.set_branch(clone, "agent/a/b", base, None)
    person(repository, "branch", "-D", "old")
    person(repository, "commit", "--quiet", "--allow-empty", "--message=Second")
    git.ensure_clone(url, clone)
    assert git.resolve(clone, "refs/remotes/origin/main") == git.resolve(
        repository / ".git", "main"
    )
    assert git.tip(clone, "agent/a/b") == base
    assert not git.has_commit(clone, "refs/remotes/origin/old")
    assert git.has_commit(clone, "refs/remotes/origin/HEAD")


def test_credentials_are_in_no_file_and_no_error(tmp_path: Path) -> None:
    clone = tmp_path / "c.git"
    with pytest.raises(git.GitError) as caught:
        git.ensure_clone("http://someone:pa55word@127.0.0.1:1/r.git", clone)
    assert "http://127.0.0.1:1/r.git" in str(caught.value)
    assert "pa55word" not in str(caught.value) + caught.value.stderr
    assert "onnect" in caught.value.stderr
    for path in clone.rglob("*"):
        assert not path.is_file() or b"pa55word" not in path.read_bytes()


@pytest.mark.parametrize("url", ["ext::mark-it", "mark::it", "mark://it"])
def test_a_url_that_runs_a_program_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    mark = tmp_path / "mark"
    for name in ("mark-it", "git-remote-mark"):
        (tmp_path / name).write_text(f"#!/bin/sh\ntouch {mark}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert git.is_url(url)
    with pytest.raises(git.GitError):
        git.ensure_clone(url, tmp_path / "c.git")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://user:secret@host:8443/a/b.git", "https://host:8443/a/b.git"),
        ("https://token@host/a", "https://host/a"),
        ("ssh://git:secret@host/a", "ssh://git@host/a"),
        ("git@host:a/b.git", "git@host:a/b.git"),
        ("file:///srv/a", "file:///srv/a"),
    ],
)
def test_a_url_is_shown_without_its_secret(url: str, clean: str) -> None:
    assert git.is_url(url)
    assert git.clean_url(url) == clean


@pytest.mark.parametrize("path", ["/srv/a", "a/b", "~/a", "./a:b"])
def test_a_path_is_no_url(path: str) -> None:
    assert not git.is_url(path)
    assert git.clean_url(path) == path
