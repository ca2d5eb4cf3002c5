"""Puts a directory's files into a repository as commits, byte for byte, and takes them out again.

Whoever works in the directory may have written anything there: a `.git` of its own, attributes
that name filters, repositories inside it. So git reads it through a private git directory of
ours, beside the directory and out of reach, which has no configuration, overrules every
attribute, and shares nothing with the repository but its objects.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from executions.git.command import Git
from executions.git.repository import administration

# Over the attributes of the files themselves (gitattributes: `info/attributes` comes first). `!`
# leaves an attribute unspecified, where `-` would be an invalid encoding.
_ATTRIBUTES = "* -text -crlf !eol !ident !filter !working-tree-encoding\n"


@dataclass(frozen=True, slots=True)
class Files:
    """A directory of files, the repository that keeps them, and the private git directory.

    `private` also holds the index, so that a file that did not change is not read again.
    """

    git_dir: Path
    directory: Path
    private: Path

    @property
    def index(self) -> Path:
        return self.private / "index"

    @property
    def git(self) -> Git:
        """Git on these files."""
        return Git(
            self.private,
            work_tree=self.directory,
            index=self.index,
            objects=self.git_dir / "objects",
            settings={"core.excludesFile": str(self.git_dir / "info" / "exclude")},
        )


def open_files(files: Files, *, exclude: Iterable[str] = ()) -> None:
    """Make the private git directory, anew; paths in `exclude` are never kept unless tracked."""
    open_private(files.git_dir, files.private)
    told = files.private / "info"
    (told / "exclude").write_text("".join(f"/{_escaped(path)}\n" for path in exclude))


def open_private(git_dir: Path, private: Path) -> None:
    """Make a private git directory, anew, for objects of the repository `git_dir`."""
    shutil.rmtree(private, ignore_errors=True)
    private.parent.mkdir(parents=True, exist_ok=True)
    kind = Git(git_dir).word("rev-parse", "--show-object-format")
    Git(private).run("init", "--quiet", "--bare", "--template=", f"--object-format={kind}")
    (private / "info").mkdir()
    (private / "info" / "attributes").write_text(_ATTRIBUTES)


def _escaped(path: str) -> str:
    """The path as a pattern that matches itself alone (gitignore, "Pattern format")."""
    return "".join(f"\\{c}" if c in "\\*?[ " else c for c in path)


def restore_tree(files: Files, commit: str) -> None:
    """Fill the directory, which has no files yet, with those of the commit."""
    git = files.git
    git.run("read-tree", commit)
    git.run("checkout-index", "--all", "--force", "--index", "--quiet", seconds=600)


def keep_tree(files: Files, parent: str, message: str) -> str | None:
    """Store the directory's files as a commit after `parent`; None when they are the parent's.

    `.gitignore` and the repository's `info/exclude` hold. Modes and links are kept; the files of
    a nested repository are kept like any others, without its `.git`. What cannot be read stays as
    it was kept last. The commit has no name yet: give it a ref.
    """
    git = files.git
    names = git.run(
        "ls-files", "-z", "--modified", "--deleted", "--others", "--exclude-standard"
    ).split(b"\0")[:-1]
    if names:
        _update_index(files, names)
    tree = git.word("write-tree")
    if tree == Git(files.git_dir).word("rev-parse", "--verify", f"{parent}^{{tree}}"):
        return None
    text = message.encode("utf-8", "replace").replace(b"\0", b"")
    return git.word("commit-tree", tree, "-p", parent, stdin=text)


def show_index(files: Files) -> None:
    """Let `git status` in the directory, asked by a person, tell what is so."""
    for record in administration(files.git_dir, files.directory):
        shutil.copyfile(files.index, record / "index")


def _update_index(files: Files, names: Iterable[bytes]) -> None:
    """Bring the index up to date with these paths of the directory."""
    top = os.fsencode(files.directory)
    found, hidden = set[bytes](), set[bytes]()
    for name in names:
        inside = _inside(files, name.rstrip(b"/")) if name.endswith(b"/") else [name]
        for path in inside:
            match _stands_for_itself(top, path):
                case True:
                    found.add(path)
                case False:
                    hidden.add(path)
    git = files.git
    hidden -= _submodules(git, hidden)
    if hidden:
        git.run("update-index", "-z", "--force-remove", "--stdin", stdin=_lines(hidden))
    git.run(
        "update-index",
        "-z",
        "--add",
        "--remove",
        "--replace",
        "--stdin",
        stdin=_lines(found),
        seconds=600,
    )


def _stands_for_itself(top: bytes, path: bytes) -> bool | None:
    """Whether the path is what the index should say of it: a file, a link, or nothing.

    False when something that git keeps no content of has taken its place, or a link that of a
    folder above it. None when it cannot be read.
    """
    parts = path.split(b"/")
    try:
        for n in range(1, len(parts)):
            if stat.S_ISLNK(os.lstat(os.path.join(top, *parts[:n])).st_mode):
                return False
        full = os.path.join(top, path)
        mode = os.lstat(full).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return None
    if stat.S_ISREG(mode):
        return True if os.access(full, os.R_OK) else None
    return stat.S_ISLNK(mode)


def _submodules(git: Git, paths: Iterable[bytes]) -> set[bytes]:
    """Those of the paths that stand for a commit of another repository."""
    if not paths:
        return set()
    staged = git.run("ls-files", "-z", "--stage").split(b"\0")[:-1]
    links = {line.split(b"\t", 1)[1] for line in staged if line.startswith(b"160000 ")}
    return links & set(paths)


def _inside(files: Files, nested: bytes) -> list[bytes]:
    """The files below a nested repository, which git itself passes over, without ignored ones."""
    found: list[bytes] = []
    pending = [nested]
    while pending:
        entries = [entry for folder in pending for entry in _entries(files, folder)]
        ignored = _ignored(files.git, [path for path, _ in entries])
        pending = [path for path, is_folder in entries if is_folder and path not in ignored]
        found += [path for path, is_folder in entries if not is_folder and path not in ignored]
    return found


def _entries(files: Files, folder: bytes) -> list[tuple[bytes, bool]]:
    """What the folder has, and whether it is a folder itself; nothing if it cannot be read."""
    try:
        with os.scandir(os.path.join(os.fsencode(files.directory), folder)) as entries:
            return [
                (folder + b"/" + entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if entry.name.lower() != b".git"
            ]
    except OSError:
        return []


def _ignored(git: Git, paths: list[bytes]) -> set[bytes]:
    if not paths:
        return set()
    # `./` as a name may begin with a colon, which has a meaning here and cannot be quoted.
    asked = _lines([b"./" + path for path in paths])
    out = git.run("check-ignore", "-z", "--stdin", stdin=asked, fine=(0, 1))
    return {path.removeprefix(b"./") for path in out.split(b"\0")[:-1]}


def _lines(paths: Iterable[bytes]) -> bytes:
    return b"".join(path + b"\0" for path in sorted(paths))
