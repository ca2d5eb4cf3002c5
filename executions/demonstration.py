"""The demonstration: an organization, an agent and a small repository with one mistake in it."""

from __future__ import annotations

import os
import secrets
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from agents.actions.agents import configure_agent, create_agent
from agents.actions.organizations import create_organization
from agents.activity import SYSTEM
from agents.models import Agent, Organization, User
from boards.actions.boards import create_board
from boards.actions.seats import seat_agent
from boards.models import Board
from executions import locks
from executions.git.command import Git

SLUG = "demonstration"
PROMPT = "The test of greeting.py fails. Find out why, correct it, and show that it passes."
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
        {"name": "Greetings", "slug": "greetings", "repository": str(_repository())},
        by=SYSTEM,
    )
    agent = organization.agents.filter(slug="mender").first() or _mender(organization, board)
    if agent.model != model_name():
        agent = configure_agent(agent, {"model": model_name()}, by=SYSTEM)
    return Demonstration(organization, agent, board, user, password)


def _mender(organization: Organization, board: Board) -> Agent:
    fields = {
        "name": "Mender",
        "slug": "mender",
        "description": "Mends a failing test.",
        "soul": _SOUL,
        "model": model_name(),
    }
    agent = create_agent(organization, fields, by=SYSTEM)
    seat_agent(board, agent, by=SYSTEM)
    return agent


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
    for name, text in _FILES.items():
        (draft / name).write_text(textwrap.dedent(text).lstrip())
    git = Git(draft / ".git", work_tree=draft)
    git.run("init", "--quiet", "--template=")
    git.run("add", "--all")
    git.run("commit", "--quiet", "--message", "Greet people")
    return draft.rename(folder)
