"""`manage.py run_agent` shows a run as it comes, and says why it stands still."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import connection
from rich.console import Console

from agents.actions import pause_agent
from agents.activity import SYSTEM
from agents.models import Agent
from agents.redis import client
from agents.runtime import examples  # noqa: F401  Registers them.
from executions import actions, starts, stream
from executions.configuration import Wish
from executions.engine import ends
from executions.engine.claim import Batch
from executions.models import Execution
from executions.terminal import Transcript
from tests.executions.carrying import a_worker, carrying_on, claimed, drive
from tests.processes import wait_until
from tests.starting import a_run, an_agent, script, tool

pytestmark = pytest.mark.django_db(transaction=True)


class Screen:
    """A terminal in front of which somebody sits."""

    def __init__(self) -> None:
        self._out = StringIO()
        self.console = Console(file=self._out, width=200)

    @property
    def text(self) -> str:
        return self._out.getvalue()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    screen = Screen()
    monkeypatch.setattr("executions.management.commands.run_agent.Console", lambda: screen.console)
    return screen


@pytest.fixture
def run() -> Execution:
    return a_run(an_agent(max_turns=1), tool("Glob", pattern="*"), {"say": "done"})


@pytest.fixture
def _followed(run: Execution, screen: Screen) -> Iterator[None]:
    """Somebody follows the run until it has ended, which it has with the test."""
    with _beside(lambda: Transcript(screen.console).show(run)):
        wait_until(lambda: dict(client().pubsub_numsub(stream.channel(run.id))).popitem()[1])
        yield
        actions.cancel(run, by=SYSTEM)


@contextmanager
def _beside(work: Callable[[], Any]) -> Iterator[None]:
    def carry_out() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=carry_out, daemon=True)
    thread.start()
    yield
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.usefixtures("_followed")
def test_a_run_at_its_limit_says_what_a_person_may_do(run: Execution, screen: Screen) -> None:
    drive(run)
    wait_until(lambda: "It goes on when it is extended" in screen.text)
    assert "It has had 1 of 1 turns." in screen.text


@pytest.mark.usefixtures("_followed")
def test_a_reply_that_begins_anew_is_not_run_into_what_it_replaces(
    run: Execution, screen: Screen
) -> None:
    for kind, text in (("text", "Hel"), ("reset", ""), ("text", "Hello")):
        stream.publish_tokens(run.id, kind, text, 1)
    wait_until(lambda: "Hel\n· the reply broke off; it begins anew\nHello" in screen.text)


@pytest.mark.usefixtures("_followed")
def test_without_redis_it_reads_on(
    run: Execution, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_away(*_: Any, **__: Any) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr(redis.client.PubSub, "get_message", is_away)
    drive(run)
    wait_until(lambda: "Glob" in screen.text)


def test_a_long_line_of_the_diff_is_shown_to_its_end(run: Execution, screen: Screen) -> None:
    diff = {"files": [], "patch": f"+{'word ' * 60}END\n"}
    ends.complete(claimed(run), Batch(), output="done", diff=diff)
    Transcript(screen.console).show(run)
    assert "word END" in screen.text


def test_the_warnings_of_code_that_has_no_turns_are_shown(screen: Screen) -> None:
    agent = an_agent(kind="example.echo", token_budget=10, seconds_budget=10)
    run = starts.start(agent, Wish(values={"text": "Hello"}), by=SYSTEM)
    Execution.objects.filter(pk=run.pk).update(usage={"output_tokens": 9, "seconds": 9})
    drive(run)
    Transcript(screen.console).show(run)
    for limit in ("tokens", "seconds"):
        assert f"warned: four fifths of its {limit} are used" in screen.text


def run_agent(agent: Agent, *turns: dict[str, Any]) -> None:
    call_command("run_agent", agent.slug, prompt=script(*turns))


def test_it_ends_with_the_run(screen: Screen) -> None:
    with carrying_on(drive):
        run_agent(an_agent(), {"say": "All done."})
    for word in (
        "No live worker takes work of the queue executions.",
        "started on a worker",
        "All done.",
        "after 1 turn,",
    ):
        assert word in screen.text


def test_what_hinders_it_is_said_before_anything_else(screen: Screen) -> None:
    a_worker()
    agent = an_agent(name="Ada")
    pause_agent(agent, by=SYSTEM)

    def cancel() -> None:
        wait_until(Execution.objects.exists)
        actions.cancel(Execution.objects.get(), by=SYSTEM)

    with _beside(cancel), pytest.raises(CommandError, match="The execution is cancelled"):
        run_agent(agent, {"say": "x"})
    assert "Its agent Ada is paused. It goes on when the agent is resumed." in screen.text


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        ({"prompt": "x", "board": "nope"}, "There is no board 'nope' in its organization."),
        ({}, "Name an action or give a prompt."),
    ],
)
def test_what_cannot_be_started_is_refused_in_a_sentence(
    asked: dict[str, str], refusal: str
) -> None:
    with pytest.raises(CommandError, match=re.escape(refusal)):
        call_command("run_agent", an_agent().slug, **asked)


def test_an_agent_that_several_organizations_have_is_named_in_full(screen: Screen) -> None:
    agents = [an_agent(slug="ada") for _ in range(2)]
    with pytest.raises(CommandError, match="name organization/agent"):
        call_command("run_agent", "ada", prompt="x")
    with carrying_on(drive):
        call_command("run_agent", f"{agents[1].organization.slug}/ada", prompt=script())
    assert Execution.objects.get().agent == agents[1]
