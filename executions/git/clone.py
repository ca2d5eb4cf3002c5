"""A bare copy of a repository that is named by URL: it fetches from there, and pushes to it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from executions.git.command import Git, GitError
from executions.git.repository import drafted

FETCH_SECONDS = 900.0
_REFSPECS = ("+refs/heads/*:refs/remotes/origin/*", "+HEAD:refs/remotes/origin/HEAD")
_SCP = re.compile(r"^[\w.-]+@[\w.-]+:(?!//)")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:(:|//)")
# What a network needs of the worker's own environment.
_NETWORK = (
    "HOME",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
)


def is_url(repository: str) -> bool:
    """Whether this names a repository elsewhere, and not a folder of this host."""
    return bool(_SCHEME.match(repository) or _SCP.match(repository))


def folder_of(repository: str) -> Path | None:
    """The folder of this host that a path or a `file:` URL names; None for what lies elsewhere."""
    if not is_url(repository):
        return Path(repository)
    if not repository.startswith("file://"):
        return None
    # As git reads it: whatever stands where other URLs have a host does not count.
    return Path("/", unquote(repository.removeprefix("file://").partition("/")[2]))


def clean_url(url: str) -> str:
    """The URL without user and password: fit for rows, logs and arguments.

    The user of an ssh URL is no secret and stays, as it says whose account it is.
    """
    parts = urlsplit(url)
    if not parts.scheme or "@" not in parts.netloc:
        return url
    user, host = parts.netloc.rsplit("@", 1)
    if parts.scheme == "ssh":
        host = f"{user.split(':', 1)[0]}@{host}"
    return urlunsplit(parts._replace(netloc=host))


def ensure_clone(url: str, git_dir: Path) -> None:
    """Have a bare repository at `git_dir` with the branches of `url` as `refs/remotes/origin/`.

    The caller holds the lock of `git_dir`. Credentials in the URL reach git through its
    environment alone: they are neither in a file, nor an argument, nor an error's text. Raises
    `GitError` when the fetch fails; what was fetched before stays.
    """
    if not git_dir.is_dir():
        with drafted(git_dir):
            pass
    _talk(
        url,
        git_dir,
        "fetch",
        "--quiet",
        "--prune",
        "--no-tags",
        "--no-write-fetch-head",
        "--end-of-options",
        clean_url(url),
        *_REFSPECS,
    )


def push(url: str, git_dir: Path, branch: str, old: str, new: str) -> None:
    """Move the branch of `url` from `old`, as it was fetched, to `new`, which comes after it.

    Raises `GitError` when it is refused: because it has moved, or for any other reason.
    """
    ref = f"refs/heads/{branch}"
    # The lease makes it a compare-and-set also where the branch was set back meanwhile.
    lease = f"--force-with-lease={ref}:{old}"
    _talk(url, git_dir, "push", "--quiet", "--no-verify", lease, clean_url(url), f"{new}:{ref}")


def _talk(url: str, git_dir: Path, verb: str, *arguments: str) -> None:
    """Let git speak to the origin; what it says in an error has no secrets."""
    clean = clean_url(url)
    settings = {"protocol.version": "2"}
    if clean != url:
        settings[f"url.{url}.insteadOf"] = clean
    variables = {name: os.environ[name] for name in _NETWORK if name in os.environ}
    variables["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes"
    try:
        git = Git(git_dir, settings=settings, variables=variables)
        git.run(verb, *arguments, seconds=FETCH_SECONDS)
    except GitError as error:
        said = error.stderr.replace(url, clean)
        done = "fetched" if verb == "fetch" else "pushed to"
        raise GitError(f"{clean} cannot be {done}.", _without_secrets(said, url)) from None


def _without_secrets(said: str, url: str) -> str:
    parts = urlsplit(url)
    for secret in (parts.password, parts.netloc.rpartition("@")[0]):
        if secret:
            said = said.replace(secret, "***")
    return said
