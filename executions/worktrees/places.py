"""Where on this host everything lies that worktrees need, and how it is put away."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

from django.conf import settings

from executions import git

logger = logging.getLogger(__name__)

_SCRATCH = "scratch:"
# Clones apart, nobody needs the lock for a second; a process that stands still holds it for ever.
LOCK_SECONDS = 30.0


def host() -> str:
    """This host's name, as rows have it."""
    return socket.gethostname()


def worktrees() -> Path:
    """The folder with a folder for each execution, which has one for each claim."""
    return _root() / "worktrees"


def clones() -> Path:
    """The folder with the copies of repositories that are named by URL."""
    return _root() / "repositories"


def scratches() -> Path:
    """The folder with the private repositories of executions that have no other."""
    return clones() / "scratch"


def directory_of(execution_id: UUID, claim_id: UUID) -> Path:
    """Where a claim of the execution works."""
    return worktrees() / str(execution_id) / claim_id.hex[-12:]


def private_of(directory: Path) -> Path:
    """The private git directory of that directory: beside it, where no agent writes."""
    return directory.with_name(f"{directory.name}.git")


def parts_of(directory: Path) -> tuple[Path, Path, Path]:
    """All that belongs to that directory: itself, its private git directory, its note."""
    return directory, private_of(directory), _note_of(directory)


def scratch_name(execution_id: UUID) -> str:
    """What a row calls the execution's own private repository."""
    return f"{_SCRATCH}{execution_id}"


def is_scratch(repository: str) -> bool:
    """Whether that is an execution's private repository."""
    return repository.startswith(_SCRATCH)


def git_dir_of(repository: str, organization_id: UUID) -> Path:
    """The git directory, on this host, of what a row or a board of an organization names.

    Two organizations that name one URL have a clone each: a clone holds their agents' branches.

    For a private repository or a URL it need not be there yet; a path that is no repository, or
    where boards may have none, raises `git.NotARepository`.
    """
    if is_scratch(repository):
        return scratches() / f"{repository.removeprefix(_SCRATCH)}.git"
    here = git.folder_of(repository)
    if here is not None:
        _check_allowed(here)
    if git.is_url(repository):
        name = f"{organization_id} {git.clean_url(repository)}"
        digest = hashlib.sha256(name.encode()).hexdigest()
        return clones() / f"{digest[:24]}.git"
    return git.repository_git_dir(Path(repository).resolve())


def _check_allowed(folder: Path) -> None:
    """Refuse the server's own copies, which may be another organization's, and what lies outside
    the folders that `SIGNALBOX_REPOSITORY_ROOTS` names."""
    path = folder.resolve()
    if path.is_relative_to(_root().resolve()):
        raise git.NotARepository("A board's repository is not among the server's own copies.")
    roots = [Path(root).resolve() for root in settings.SIGNALBOX_REPOSITORY_ROOTS]
    if roots and not any(path.is_relative_to(root) for root in roots):
        raise git.NotARepository("This host allows no boards' repositories in that folder.")


def repository_lock(git_dir: Path) -> AbstractContextManager[None]:
    """Held by whoever changes the repository's refs or its list of worktrees.

    Raises `git.RepositoryBusy` when it is not free in time.
    """
    digest = hashlib.sha256(os.fsencode(git_dir)).hexdigest()
    return git.lock(_root() / "locks" / f"{digest[:24]}.lock", seconds=LOCK_SECONDS)


def merges() -> Path:
    """The folder with what merges need while they last."""
    return _root() / "merges"


@contextmanager
def merge_directory() -> Iterator[Path]:
    """A path for one merge, deleted after the block; prune deletes it where the process died."""
    directory = merges() / uuid4().hex
    try:
        yield directory
    finally:
        delete(directory)


def files_of(git_dir: Path, directory: Path) -> git.Files:
    """The directory as git reads it."""
    return git.Files(git_dir, directory, private_of(directory))


def note(directory: Path, **facts: str) -> None:
    """Write beside the directory what must be known of it when its claim is over."""
    path = _note_of(directory)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps({**noted(directory), **facts}))
    draft.replace(path)


def _note_of(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.json")


def noted(directory: Path) -> dict[str, str]:
    """What was noted; nothing when nobody wrote it to the end."""
    try:
        facts: dict[str, str] = json.loads(_note_of(directory).read_text())
    except (OSError, ValueError):
        return {}
    return facts


def discard(directory: Path) -> None:
    """Move the directory out of the way and delete it; none there is fine.

    A process that still works in it writes into what is being deleted. Its repository's lock
    must not be held. While that is busy the note stays, and by it the next prune comes back.
    """
    aside = [_set_aside(path) for path in (directory, private_of(directory))]
    try:
        _forget(directory)
    except git.RepositoryBusy:
        logger.info("The repository of %s is busy; it forgets the worktree later.", directory)
    else:
        aside.append(_set_aside(_note_of(directory)))
    for path in aside:
        delete(path)


def _forget(directory: Path) -> None:
    git_dir = Path(noted(directory).get("git_dir", "/nonexistent"))
    if git_dir.is_dir():
        with repository_lock(git_dir):
            git.remove_worktree(git_dir, directory)


def _set_aside(path: Path) -> Path:
    trash = worktrees() / ".trash"
    trash.mkdir(parents=True, exist_ok=True)
    aside = trash / uuid4().hex
    with suppress(FileNotFoundError, NotADirectoryError):
        path.rename(aside)
    return aside


def delete(path: Path) -> None:
    """Delete the folder whatever is in it; what resists is tried again by the next prune.

    By `rm`: shutil recurses, and an agent can nest folders deeper than Python's stack.
    """
    command = ["rm", "-rf", "--", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        _open_folders(path)
        subprocess.run(command, capture_output=True, check=False)


def _open_folders(path: Path) -> None:
    """Folders that their owner may not write, such as a module cache's, cannot be emptied."""
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.path, 0o700)


def empty_trash() -> None:
    """Delete what a worker that died had only moved out of the way."""
    trash = worktrees() / ".trash"
    if trash.is_dir():
        for path in list(trash.iterdir()):
            delete(path)


def _root() -> Path:
    return Path(settings.SIGNALBOX_WORK_DIR)
