"""A run is warned once when four fifths of a limit are used, whatever its kind and its fate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError

from agents.activity import SYSTEM
from agents.runtime import kinds
from agents.runtime.context import AgentContext
from agents.runtime.facts import Message, ModelRequest, Role
from agents.runtime.kinds import agent_kind
from executions import actions, signals
from executions.engine.control import Interrupted, Reason
from executions.engine.conversation import Conversation
from executions.errors import Superseded
from executions.models import Checkpoint, Entry, Event, Execution, Status
from tests.executions.asking import refused
from tests.executions.carrying import drive
from tests.executions.kinds import an_agent_of, begun
from tests.executions.polling import ByHand, a_remote_agent, a_remote_run, worker_client
from tests.executions.test_dispatch_fence import lapse
from tests.factories import all_at_once
from tests.starting import a_run, an_agent, an_organization, script, tool

pytestmark = pytest.mark.django_db(transaction=True)

LOOK = {**tool("Glob", pattern="*"), "say": "I look.", "tokens": 0}
LIMITS = ("turns", "tokens", "seconds")
KINDS = ("built-in", "code", "remote")
# Of each; the words of a script cost some tokens too.
MOST = 10_000
LIMIT_OF = {"turns": "max_turns", "tokens": "token_budget", "seconds": "seconds_budget"}


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_kinds", dict(kinds._kinds))


def a_run_of(kind: str, limit: str, most: int = MOST) -> Execution:
    """A run that has so much of this limit, and enough of the others."""
    has = {"max_turns": 500, LIMIT_OF[limit]: min(most, 500) if limit == "turns" else most}
    if kind == "built-in":
        return a_run(an_agent(**has), LOOK, LOOK, {"say": "done"})
    if kind == "remote":
        return a_remote_run(a_remote_agent(an_organization(), **has))

    @agent_kind("t.warned")
    def code(context: AgentContext) -> str:
        for n in range(3):
            context.step(f"step-{n}", lambda: None)
            context.wait_for_signal(f"wait-{n}", "go")
        return "done"

    return begun(an_agent_of("t.warned", **has))


def used(run: Execution, limit: str, share: float) -> None:
    """Let this share of its limit be used."""
    run.refresh_from_db()
    count = int(getattr(run, LIMIT_OF[limit]) * share)
    if limit == "turns":
        Execution.objects.filter(pk=run.pk).update(turn=count)
        return
    name = "output_tokens" if limit == "tokens" else "seconds"
    Execution.objects.filter(pk=run.pk).update(usage=run.usage | {name: count})


def carry_on(run: Execution) -> None:
    """Let whoever has it look up twice, and leave."""
    run.refresh_from_db()
    if not run.kind.startswith("remote"):
        if run.status == Status.WAITING:
            signals.send(run, name="go", by=SYSTEM)
        drive(run)
        return
    claimed = ByHand(worker_client(run.organization))
    claimed.told("heartbeat")
    claimed.say("I look.")
    claimed.told("release", **{"as": "yielded"})


def warned(run: Execution) -> list[str]:
    told = Event.objects.filter(execution=run, type="agent.turn_warning").order_by("seq")
    return [event.data["limit"] for event in told]


def notes(run: Execution) -> list[str]:
    """What the model was told."""
    told = Entry.objects.filter(execution=run, type="injection").order_by("position")
    return [entry.content["text"] for entry in told]


# --- once


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_warned_once(kind: str, limit: str) -> None:
    run = a_run_of(kind, limit)
    used(run, limit, 0.79)
    if kind != "built-in":  # Which does not stop before its end.
        carry_on(run)
        assert warned(run) == []
    used(run, limit, 0.81)
    carry_on(run)
    assert warned(run) == [limit]
    told = Event.objects.get(execution=run, type="agent.turn_warning")
    run.refresh_from_db()
    assert told.data["max_turns"] == run.max_turns
    if kind == "built-in":
        assert (run.status, run.output) == (Status.COMPLETED, "done"), run.failure_message
        assert [limit in note for note in notes(run)] == [True]
        return
    assert notes(run) == []
    carry_on(run)
    assert warned(run) == [limit]


@pytest.mark.parametrize("kind", KINDS)
def test_each_limit_has_a_warning_of_its_own(kind: str) -> None:
    run = a_run_of(kind, "tokens")
    Execution.objects.filter(pk=run.pk).update(max_turns=100, seconds_budget=1000)
    for limit in LIMITS:
        used(run, limit, 0.85)
    carry_on(run)
    assert warned(run) == list(LIMITS)


def test_code_that_asks_a_model_is_warned_before_it_asks() -> None:
    @agent_kind("t.warned")
    def code(context: AgentContext) -> None:
        said = Message(Role.USER, context.prompt)
        for turn in range(1, 6):
            context.ask(ModelRequest(turn, "", (said,)))

    run = begun(an_agent_of("t.warned", max_turns=5), prompt=script({"say": "Hm."}))
    drive(run)
    assert run.status == Status.COMPLETED, run.failure_message
    told = Event.objects.get(execution=run, type="agent.turn_warning")
    assert told.data == {"turn": 4, "max_turns": 5, "limit": "turns"}
    types = list(Event.objects.filter(execution=run).order_by("seq").values_list("type", flat=True))
    assert types[types.index("agent.turn_warning") - 1 :] == [
        "execution.turn",
        "agent.turn_warning",
        "execution.turn",
        "execution.completed",
    ]
    assert notes(run) == []


def test_a_model_whose_answer_is_sent_back_is_warned_with_that() -> None:
    schema = {"type": "object", "required": ["n"]}
    prompt = script(*[{"say": "many"}] * 3)
    agent = an_agent(max_turns=3, actions={"count": {"prompt": prompt, "output_schema": schema}})
    run = begun(agent, action="count")
    drive(run)
    assert run.failure_code == "OUTPUT_INVALID"
    assert warned(run) == ["turns"]
    assert [note[:20] for note in notes(run)] == [
        "Your answer does not",
        "Your answer does not",
        "You have used 2 of 3",
    ]


# --- lost


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("asked", [1, 2])
def test_a_conversation_whose_worker_is_lost_is_warned_once(
    asked: int, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the commit that holds the warning, and after it."""
    run = a_run_of("built-in", limit)
    used(run, limit, 0.81)
    reply_to, count = Conversation._reply_to, 0

    def dying(*given: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == asked:
            raise OperationalError
        return reply_to(*given, **more)

    monkeypatch.setattr(Conversation, "_reply_to", dying)
    drive(run)
    assert (run.status, warned(run)) == (Status.RUNNING, [] if asked == 1 else [limit])
    lapse(run)
    drive(run)
    assert (run.status, run.recoveries) == (Status.COMPLETED, 1)
    assert (warned(run), len(notes(run))) == ([limit], 1)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("step", [0, 1])
def test_code_whose_worker_is_lost_is_warned_once(step: int, limit: str) -> None:
    tries = 0

    def die_once() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OperationalError

    @agent_kind("t.warned")
    def code(context: AgentContext) -> None:
        for n in range(3):
            work: Callable[[], Any] = die_once if n == step else lambda: None
            context.step(f"step-{n}", work, repeatable=True)

    run = begun(an_agent_of("t.warned", **{"max_turns": 500, LIMIT_OF[limit]: 500}))
    used(run, limit, 0.81)
    drive(run)
    assert (run.status, warned(run)) == (Status.RUNNING, [limit] if step else [])
    lapse(run)
    drive(run)
    assert (run.status, run.recoveries) == (Status.COMPLETED, 1)
    assert warned(run) == [limit]


@pytest.mark.parametrize("limit", LIMITS)
def test_a_worker_outside_that_is_lost_was_warned_for_the_next(limit: str) -> None:
    run = a_run_of("remote", limit)
    used(run, limit, 0.81)
    first = ByHand(worker_client(run.organization))
    first.told("heartbeat")
    lapse(run)
    second = ByHand(first.client)
    assert second.id == first.id
    refused(first.send("heartbeat"), 409, "SUPERSEDED")
    second.told("heartbeat")
    assert warned(run) == [limit]


def test_a_request_that_is_refused_has_warned_of_nothing() -> None:
    run = a_run_of("remote", "turns")
    claimed = ByHand(worker_client(run.organization))
    wrong = [{"text": "one", "turn": 450}, {"text": "two", "turn": 1}]
    refused(claimed.send("entries", entries=wrong), 422, "VALIDATION_FAILED")
    assert warned(run) == []
    claimed.told("entries", entries=[{"text": "one", "turn": 450}])
    assert warned(run) == ["turns"]


def test_what_is_to_be_cancelled_is_not_warned() -> None:
    run = a_run_of("remote", "tokens")
    claimed = ByHand(worker_client(run.organization))
    actions.cancel(run, by=SYSTEM)
    used(run, "tokens", 0.81)
    claimed.told("heartbeat")
    assert warned(run) == []


@pytest.mark.parametrize("asked", [1, 2])
def test_a_reply_that_a_shutdown_abandons_takes_its_own_warning_with_it(
    asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the commit that holds the warning, and after it."""
    run = a_run_of("built-in", "tokens")
    used(run, "tokens", 0.81)
    reply_to, count = Conversation._reply_to, 0

    def abandoned(*given: Any, **more: Any) -> Any:
        nonlocal count
        count += 1
        if count == asked:
            raise Interrupted(Reason.DRAIN)
        return reply_to(*given, **more)

    monkeypatch.setattr(Conversation, "_reply_to", abandoned)
    drive(run)
    assert (run.status, len(warned(run)), len(notes(run))) == (Status.QUEUED, asked - 1, asked - 1)
    drive(run)
    assert (run.status, warned(run), len(notes(run))) == (Status.COMPLETED, ["tokens"], 1)


def test_a_model_is_not_said_to_have_heard_what_came_after_its_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Time passes between the look and the question; the next request has the note."""
    run = a_run_of("built-in", "seconds")
    ask = Conversation.ask

    def late(conversation: Any, *given: Any, **more: Any) -> Any:
        monkeypatch.setattr(Conversation, "ask", ask)
        conversation.usage["seconds"] = 0.81 * MOST
        return ask(conversation, *given, **more)

    monkeypatch.setattr(Conversation, "ask", late)
    drive(run)
    types = list(Entry.objects.filter(execution=run).values_list("type", flat=True))
    assert types[:4] == ["message", "llm_call", "tool_result", "injection"]


# --- two at once


@pytest.mark.parametrize("limit", LIMITS)
def test_a_worker_outside_that_calls_many_times_at_once_is_warned_once(limit: str) -> None:
    run = a_run_of("remote", limit)
    used(run, limit, 0.81)
    claimed = ByHand(worker_client(run.organization))
    answers = all_at_once(*[lambda: claimed.send("heartbeat")] * 4)
    assert [answer.status_code for answer in answers] == [200] * 4
    assert warned(run) == [limit]


def test_of_two_that_carry_a_run_on_only_the_claim_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has decided on its warning when its claim is lost, and commits too late."""
    run = a_run_of("built-in", "tokens")
    used(run, "tokens", 0.81)
    reply_to = Conversation._reply_to
    seen: list[type[BaseException]] = []

    def late(conversation: Any, *given: Any, **more: Any) -> Any:
        monkeypatch.setattr(Conversation, "_reply_to", reply_to)
        lapse(run)
        drive(run)
        try:
            conversation.commit()
        except Superseded as error:
            seen.append(type(error))
            raise

    monkeypatch.setattr(Conversation, "_reply_to", late)
    drive(run)
    assert seen == [Superseded]
    assert (run.status, warned(run), len(notes(run))) == (Status.COMPLETED, ["tokens"], 1)


# --- extended


def at_the_limit(run: Execution, limit: str) -> None:
    used(run, limit, 1)
    carry_on(run)
    assert warned(run) == [limit]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("kind", KINDS)
def test_of_a_limit_that_is_extended_it_is_warned_again(kind: str, limit: str) -> None:
    run = a_run_of(kind, limit, most=200)
    at_the_limit(run, limit)
    actions.extend(run, by=SYSTEM, **{limit: 200})
    if kind != "built-in":  # Which does not stop before its end.
        used(run, limit, 0.79)
        carry_on(run)
        assert warned(run) == [limit]
    used(run, limit, 0.81)
    carry_on(run)
    assert warned(run) == [limit] * 2


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_extension_of_less_than_a_fifth_warns_of_nothing_new(kind: str, limit: str) -> None:
    run = a_run_of(kind, limit, most=200)
    at_the_limit(run, limit)
    actions.extend(run, by=SYSTEM, **{limit: 20})
    carry_on(run)
    assert warned(run) == [limit]


# --- forked


@pytest.mark.parametrize(("turns", "tells"), [(2, 0), (3, 1), (4, 0)])
def test_a_fork_is_warned_of_its_turns_where_its_past_was_not(turns: int, tells: int) -> None:
    """What a conversation is told at the end of a turn comes after the turn's checkpoint."""
    run = a_run(an_agent(max_turns=4), *[LOOK] * turns, {"say": "done"})
    drive(run)
    assert warned(run) == (["turns"] if turns > 2 else [])
    number = Checkpoint.objects.get(execution=run, turn=turns).sequence
    fork = actions.fork(run, checkpoint=number, text="Again.", by=SYSTEM)
    drive(fork)
    assert warned(fork) == ["turns"] * tells


def test_a_fork_has_the_tokens_and_the_time_to_itself() -> None:
    run = a_run_of("built-in", "tokens")
    used(run, "tokens", 0.81)
    drive(run)
    fork = actions.fork(run, checkpoint=1, by=SYSTEM)
    drive(fork)
    assert (fork.status, warned(fork)) == (Status.COMPLETED, [])
    again = actions.fork(run, checkpoint=1, by=SYSTEM)
    used(again, "tokens", 0.81)
    drive(again)
    assert warned(again) == ["tokens"]


def test_code_that_was_warned_by_its_checkpoint_is_not_warned_in_its_fork() -> None:
    @agent_kind("t.warned")
    def code(context: AgentContext) -> None:
        context.step("before", lambda: None)
        context.checkpoint("kept", {})

    run = begun(an_agent_of("t.warned", max_turns=5))
    used(run, "turns", 0.8)
    drive(run)
    assert warned(run) == ["turns"]
    fork = actions.fork(run, checkpoint=1, by=SYSTEM)
    drive(fork)
    assert (fork.status, fork.turn, warned(fork)) == (Status.COMPLETED, 4, [])
