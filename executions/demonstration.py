"""The demonstration: an organization, an agent and a small repository with one mistake in it."""

from __future__ import annotations

import os
import secrets
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from agents.actions.agents import configure_agent, create_agent
from agents.actions.organizations import create_organization
from agents.activity import SYSTEM, Actor
from agents.models import ActorKind, Agent, Organization, User
from boards.actions.boards import create_board
from boards.actions.seats import seat_agent
from boards.actions.tasks import create_task
from boards.models import Board, Task
from executions import locks
from executions.git.command import Git

SLUG = "demonstration"
TITLE = "The greeting is misspelt"
PROMPT = (
    "The test of greeting.py fails. Find out why, correct it, and show that it passes. "
    "Remove greeting.py.orig, which somebody left behind."
)
# What the work is sent back for, once.
REASON = "Say in README.md how the test is run."
_FILES = {
    "greeting.py": '''
        """Greets people by their name."""


        def greet(name: str) -> str:
            """The greeting of one person."""
            return f"Helo, {name}!"
        ''',
    "test_greeting.py": '''
        """The greeting, tested."""

        import unittest

        from greeting import greet


        class GreetingTest(unittest.TestCase):
            def test_ada_is_greeted(self) -> None:
                self.assertEqual(greet("Ada"), "Hello, Ada!")


        if __name__ == "__main__":
            unittest.main()
        ''',
    "greeting.py.orig": """
        An editor left this behind.
        """,
    ".gitignore": """
        __pycache__/
        """,
}


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What was set up; `password` is empty when the user was there before."""

    organization: Organization
    agent: Agent
    board: Board
    user: User
    password: str

    @property
    def operator(self) -> Actor:
        """The person, as the record names who did something."""
        return Actor(ActorKind.MEMBER, self.user.id, self.user.username)


@transaction.atomic
def set_up() -> Demonstration:
    """Make what is missing of the demonstration; a second call changes nothing.

    All of it or nothing, so that the password of who may sign in is never lost with what broke off.
    """
    locks.demonstration()
    user, password = _operator()
    organization = Organization.objects.filter(slug=SLUG).first() or create_organization(
        {"name": "Demonstration", "slug": SLUG}, owner=user, by=SYSTEM
    )
    board = organization.boards.filter(slug="greetings").first() or create_board(
        organization,
        {
            "name": "Greetings",
            "slug": "greetings",
            "objective": "Greet everybody by their name, and correctly.",
            "repository": str(_repository()),
        },
        by=SYSTEM,
    )
    agent = organization.agents.filter(slug="mender").first() or _mender(organization, board)
    return Demonstration(organization, agent, board, user, password)


def make_task(shown: Demonstration) -> Task:
    """One more card with the same mistake, which is in the repository again if it was mended."""
    spoil(Path(shown.board.repository))
    fields = {"title": TITLE, "description": PROMPT}
    return create_task(shown.board, fields, by=shown.operator)


def prepare(shown: Demonstration) -> Agent:
    """The agent, configured as the demonstration wants it."""
    fields = _configuration()
    changed = {name: each for name, each in fields.items() if getattr(shown.agent, name) != each}
    return configure_agent(shown.agent, changed, by=SYSTEM) if changed else shown.agent


def _mender(organization: Organization, board: Board) -> Agent:
    fields = {"name": "Mender", "slug": "mender", **_configuration()}
    agent = create_agent(organization, fields, by=SYSTEM)
    seat_agent(board, agent, by=SYSTEM)
    return agent


def _configuration() -> dict[str, Any]:
    """What the agent may do: few turns, so that the limit shows; no push; no deletion unasked."""
    return {
        "description": "Mends a failing test.",
        "soul": _SOUL,
        "model": model_name(),
        "tools": [*_TOOLS, "agent_board_memory_record"],
        "hooks": {"pre_tool": ["agents.runtime.ready_hooks:keep_remotes"], "post_tool": []},
        "approval_required": [{"tool": "Bash", "arguments": {"command": "*rm *"}}],
        "max_turns": 7,
    }


_TOOLS = ("Read", "Write", "Edit", "Bash", "Glob", "Grep", "WebFetch", "TodoWrite")


_SOUL = (
    "You are a careful programmer. You work in a git worktree. Run the tests with "
    "`python3 -m unittest -q`. Change as little as possible, and say what you did."
)


def model_name() -> str:
    """The real model when its name and a key are there, else the scripted one."""
    has_key = any(os.environ.get(key) for key in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"))
    named = os.environ.get("SIGNALBOX_MODEL", "")
    return named if named and has_key else "scripted:demo"


def _operator() -> tuple[User, str]:
    """The person who may sign in to the admin; the password is told once, at creation."""
    user = User.objects.filter(username="operator").first()
    if user is not None:
        return user, ""
    password = secrets.token_urlsafe(9)
    return User.objects.create_superuser("operator", "operator@localhost", password), password


def _repository() -> Path:
    """A git repository with a module that has a mistake and a test that finds it.

    Made beside its place and moved there whole: what broke off is thrown away by the next.
    """
    folder = settings.SIGNALBOX_HOME / "demonstration"
    if folder.exists():
        return folder
    draft = folder.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    git = Git(draft / ".git", work_tree=draft)
    git.run("init", "--quiet", "--template=")
    _commit_files(draft, git, "Greet people")
    return draft.rename(folder)


def spoil(folder: Path) -> None:
    """Have the mistake in the repository, if the last demonstration has mended it."""
    git = Git(folder / ".git", work_tree=folder)
    if git.run("status", "--porcelain") or "Helo" in (folder / "greeting.py").read_text():
        return
    for name in git.run("ls-files", "-z").decode().split("\0")[:-1]:
        (folder / name).unlink(missing_ok=True)
    _commit_files(folder, git, "Misspell the greeting again")


def _commit_files(folder: Path, git: Git, message: str) -> None:
    for name, text in _FILES.items():
        (folder / name).write_text(textwrap.dedent(text).lstrip())
    git.run("add", "--all")
    git.run("commit", "--quiet", "--message", message)
