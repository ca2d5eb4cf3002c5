"""Kinds of agents on the engine: called from the top, durable by key, explained when they fail."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from agents.activity import SYSTEM
from agents.models import Role
from agents.runtime import kinds
from agents.runtime.context import AgentContext, StepUnknown
from agents.runtime.kinds import agent_kind
from agents.runtime.react import react
from executions import actions, signals
from executions.engine import claim as claims
from executions.engine.control import Reason
from executions.engine.sweep import sweep
from executions.models import Checkpoint, Condition, Entry, Execution, Signal, Status, Step
from tests.executions.carrying import claimed, drive
from tests.executions.kinds import an_agent_of, begun, driven, told
from tests.factories import API, client_of
from tests.starting import script, tool

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_kinds", dict(kinds._kinds))


def of(function: Callable[..., Any], values: Any = None, **wish: Any) -> Execution:
    """A run of this function, begun."""
    agent_kind("t.kind")(function)
    return begun("t.kind", values, **wish)


def test_echo_ends_with_its_output() -> None:
    run = driven("example.echo", {"text": "hello"})
    assert (run.status, run.output, run.kind_version) == (Status.COMPLETED, {"text": "hello"}, "1")
    assert Entry.objects.get(execution=run).content["text"] == "hello"


def test_an_input_that_does_not_fit_is_refused_before_anything_runs() -> None:
    agent = an_agent_of("example.echo")
    with pytest.raises(ValidationError) as refused:
        begun(agent, {"text": 7})
    assert "with.text" in refused.value.detail
    client = client_of(agent.organization, Role.OPERATOR)
    answer = client.post(f"{API}/agents/{agent.id}/executions/async", {"with": {"txt": "x"}})
    assert answer.status_code == 422
    assert not Execution.objects.exists()


def test_kinds_are_listed_with_their_schemas() -> None:
    client = client_of(an_agent_of("react").organization, Role.VIEWER)
    listed = {kind["name"]: kind for kind in client.get(f"{API}/agent-kinds").json()}
    assert listed["react"]["takes_messages"] is True
    assert listed["example.echo"]["input_schema"]["required"] == ["text"]
    assert listed["example.conversation"]["description"].startswith("Answer each signal")


def test_an_agent_of_an_unknown_kind_is_refused() -> None:
    client = client_of(an_agent_of("react").organization, Role.ADMIN)
    answer = client.post(f"{API}/agents", {"name": "x", "kind": "t.nothing"})
    assert answer.status_code == 422
    assert "example.echo" in answer.json()["errors"][0]["detail"]


def test_a_step_is_done_once_however_often_the_code_comes_by() -> None:
    done: list[str] = []

    def kind(context: AgentContext) -> int:
        number = context.step("count", lambda: done.append("step") or 41)
        context.wait_for_signal("go", "go")
        return int(number) + 1

    run = of(kind)
    drive(run)
    assert run.status == Status.WAITING
    signals.send(run, name="go", by=SYSTEM)
    drive(run)
    assert (run.status, run.output, done) == (Status.COMPLETED, 42, ["step"])


def test_a_key_with_another_input_fails_with_the_reason() -> None:
    def kind(context: AgentContext) -> None:
        context.append_entry("a", "one")
        context.append_entry("a", "two")

    run = of(kind)
    drive(run)
    assert (run.status, run.failure_code) == (Status.FAILED, "AGENT_ERROR")
    assert "'a' stands for another" in run.failure_message


def test_a_step_that_was_under_way_when_its_worker_was_lost_is_not_repeated_unseen() -> None:
    seen: list[bool] = []

    def kind(context: AgentContext) -> str:
        try:
            context.step("pay", lambda: _lose(context))
        except StepUnknown:
            seen.append(True)
            return "unknown"
        return "paid"

    run = of(kind)
    drive(run)
    _lost(run)
    drive(run)
    assert (run.status, run.output, seen) == (Status.COMPLETED, "unknown", [True])


def test_a_repeatable_step_is_done_again() -> None:
    tries: list[int] = []

    def kind(context: AgentContext) -> int:
        def look() -> int:
            tries.append(1)
            return _lose(context) if len(tries) == 1 else 7

        return context.step("look", look, repeatable=True)

    run = of(kind)
    drive(run)
    _lost(run)
    drive(run)
    assert (run.output, len(tries)) == (7, 2)


def _lose(context: Any) -> Any:
    """The process stands still here, for longer than its lease."""
    context.control.interrupt(Reason.LOST)
    context.control.check()


def _lost(run: Execution) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    Execution.objects.filter(pk=run.pk).update(lease_expires_at=long_ago)
    sweep()
    run.refresh_from_db()
    assert run.status == Status.QUEUED


def test_a_checkpoint_keeps_the_state_and_a_fork_goes_on_from_it() -> None:
    run = driven("example.checkpoints", {"to": 4})
    assert run.output == {"total": 10}
    kept = Checkpoint.objects.filter(execution=run).values_list("sequence", "state__total")
    assert list(kept) == [(1, 1), (2, 3), (3, 6), (4, 10)]
    fork = actions.fork(run, checkpoint=2, by=SYSTEM)
    drive(fork)
    assert (fork.status, fork.output) == (Status.COMPLETED, {"total": 10})
    assert fork.forked_from_id == run.id


def test_the_turns_of_a_model_between_two_checkpoints_keep_the_state() -> None:
    """The end of each turn is a checkpoint of its own, with a number of its own."""

    def kind(context: AgentContext) -> list[Any]:
        first = context.checkpoint("first", {"n": 1})
        react(context)
        seen = [context.state, context.checkpoint_sequence]
        return [first, *seen, context.checkpoint("second", {"n": 2})]

    agent_kind("t.kind")(kind)
    agent = an_agent_of("t.kind", model="scripted:play", tools=["*"])
    run = begun(agent, prompt=script(tool("TodoWrite", todos=[]), {"say": "done"}))
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, [1, {"n": 1}, 2, 3]), run.failure_message
    kept = Checkpoint.objects.filter(execution=run).values_list("sequence", "state")
    assert list(kept) == [(1, {"n": 1}), (2, {"n": 1}), (3, {"n": 2})]


def test_a_conversation_costs_nothing_while_nobody_speaks() -> None:
    run = driven("example.conversation")
    assert (run.status, run.admitted_epoch, run.claim_id) == (Status.WAITING, None, None)
    for said in ("hello", "goodbye"):
        sent = signals.send(run, name="say", value=said, by=SYSTEM)
        assert sent.is_resumed
        drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, {"turns": 2, "last": "goodbye"})
    assert Entry.objects.filter(execution=run).count() == 4
    assert not Condition.objects.filter(execution=run).exists()


def test_a_wait_gives_up_after_its_timeout() -> None:
    run = driven("example.conversation")
    past = timezone.now() - timedelta(days=1)
    Condition.objects.filter(execution=run, kind="timer").update(due_at=past)
    Step.objects.filter(execution=run, key="turn-0").update(result={"due_at": past.isoformat()})
    sweep()
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, {"turns": 0, "last": ""})


def test_signals_are_drained_by_pattern_in_order() -> None:
    def kind(context: AgentContext) -> list[Any]:
        assert context.has_signal("a.*")
        return [signal.value for signal in context.drain_signals("all", "a.*")]

    run = of(kind)
    for number, name in enumerate(["a.x", "b.y", "a.z"]):
        signals.send(run, name=name, value=number, by=SYSTEM)
    drive(run)
    assert run.output == [0, 2]
    assert list(Signal.objects.filter(consumed_at=None).values_list("name", flat=True)) == ["b.y"]
    run.refresh_from_db()
    assert run.signals_pending == 1


def test_time_passes_without_a_worker() -> None:
    def kind(context: AgentContext) -> str:
        context.sleep("night", 3600)
        return "morning"

    run = of(kind)
    drive(run)
    assert run.status == Status.WAITING
    past = timezone.now() - timedelta(seconds=1)
    Condition.objects.filter(execution=run).update(due_at=past)
    Step.objects.filter(execution=run).update(result={"due_at": past.isoformat()})
    sweep()
    drive(run)
    assert run.output == "morning"


def test_an_output_that_does_not_fit_the_annotation_fails() -> None:
    def kind(context: AgentContext) -> int:
        return "many"  # type: ignore[return-value]

    run = of(kind)
    drive(run)
    assert (run.status, run.failure_code) == (Status.FAILED, "OUTPUT_INVALID")


def test_what_agent_code_raises_is_told() -> None:
    def kind(context: AgentContext) -> None:
        raise RuntimeError("no such planet")

    run = of(kind)
    drive(run)
    assert (run.failure_code, run.failure_message) == (
        "AGENT_ERROR",
        "RuntimeError: no such planet",
    )


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("a\0b"), "RuntimeError: a\ufffdb"),
        (SystemExit(3), "SystemExit: 3"),
        (CancelledError("stop"), "CancelledError: stop"),
    ],
    ids=["nul", "exit", "cancelled"],
)
def test_whatever_agent_code_raises_is_an_end(error: BaseException, message: str) -> None:
    """And no lost worker, which would have it come back until its recoveries run out."""

    def kind(context: AgentContext) -> None:
        raise error

    run = of(kind)
    drive(run)
    assert (run.status, run.failure_code, run.failure_message) == ("failed", "AGENT_ERROR", message)


@pytest.mark.parametrize("output", ["a\0b", float("nan"), object(), {"deep": {1, 2}}])
def test_an_output_that_cannot_be_kept_is_named(output: Any) -> None:
    run = of(lambda context: output)
    drive(run)
    assert (run.status, run.failure_code) == (Status.FAILED, "OUTPUT_INVALID")
    assert run.failure_message.startswith("It is no output of t.kind: It ")


def test_code_that_catches_everything_does_not_catch_a_wait_or_a_pause() -> None:
    def kind(context: AgentContext) -> str:
        try:
            context.wait_for_signal("go", "go")
        except Exception:
            return "caught"
        return "went"

    run = of(kind)
    drive(run)
    assert run.status == Status.WAITING


@pytest.mark.parametrize("lost_in", ["the row", "the process"])
def test_code_that_catches_everything_does_not_go_round_without_its_claim(lost_in: str) -> None:
    caught: list[str] = []

    def kind(context: Any) -> None:
        if lost_in == "the row":
            rows = Execution.objects.filter(pk=context.execution_id)
            rows.update(lease_expires_at=timezone.now() - timedelta(hours=1))
            sweep()
        else:
            context.control.interrupt(Reason.LOST)
        for n in range(3):
            try:
                context.append_entry(f"said {n}", "Hello?")
            except Exception as error:
                caught.append(repr(error))

    run = of(kind)
    drive(run)
    assert caught == []
    assert not Entry.objects.filter(execution=run).exists()


def test_a_tool_call_of_ones_own_is_in_the_ledger() -> None:
    def kind(context: AgentContext) -> str:
        call = context.append_tool_call("look", "Telescope", {"at": "Mars"})
        context.append_tool_result("seen", call, "It is red.")
        return call

    run = of(kind)
    drive(run)
    assert run.status == Status.COMPLETED, run.failure_message
    (call,) = run.tool_calls.all()
    assert (call.name, call.status, call.output) == ("Telescope", "complete", "It is red.")
    assert [entry.role for entry in run.entries.all()] == ["assistant", "tool_result"]


def test_a_worker_claims_only_kinds_and_versions_that_it_has() -> None:
    run = begun("example.echo", {"text": "x"})
    Execution.objects.filter(pk=run.pk).update(kind_version="9")
    run.refresh_from_db()
    assert claims.take(run.id, run.epoch, "here:1") is None
    Execution.objects.filter(pk=run.pk).update(kind_version="1")
    assert claimed(run).execution.kind_version == "1"


def test_a_pause_is_taken_at_an_effect_and_nothing_is_done_twice() -> None:
    done: list[str] = []

    def kind(context: AgentContext) -> None:
        context.step("one", lambda: done.append("one"))
        actions.pause(Execution.objects.get(pk=context.execution_id), by=SYSTEM)
        context.step("two", lambda: done.append("two"))
        context.step("three", lambda: done.append("three"))

    run = of(kind)
    drive(run)
    assert (run.status, done) == (Status.PAUSED, ["one", "two"])
    actions.resume(run, by=SYSTEM)
    drive(run)
    # The code asks for its pause once more, at its end, and for nothing again that was done.
    assert (run.status, done) == (Status.COMPLETED, ["one", "two", "three"])


def test_the_events_tell_what_happened() -> None:
    run = driven("example.conversation")
    signals.send(run, name="say", value="goodbye", by=SYSTEM)
    drive(run)
    assert told(run) == [
        "execution.queued", "execution.started", "execution.waiting", "signal.received",
        "execution.queued", "execution.resumed", "signal.consumed", "execution.completed",
    ]  # fmt: skip
