"""Signals and messages over REST: sent, kept, refused, and consumed by what waits for them."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.models import Activity, Role
from executions import actions
from executions.models import Entry, Execution, Signal, Status
from tests.executions.carrying import claimed, drive
from tests.executions.kinds import an_agent_of, begun, driven
from tests.factories import API, client_of
from tests.starting import a_run, an_agent, an_organization

pytestmark = pytest.mark.django_db(transaction=True)


def at(execution: Execution, what: str) -> str:
    return f"{API}/executions/agents/{execution.id}/{what}"


def client(execution: Execution, role: Role = Role.OPERATOR) -> APIClient:
    return client_of(execution.organization, role)


def test_a_signal_wakes_what_waits_for_it() -> None:
    run = driven("example.conversation")
    answer = client(run).post(at(run, "signals"), {"name": "say", "value": "goodbye"})
    assert (answer.status_code, answer.json()) == (
        202,
        {"delivered": True, "resumed": True, "number": 1},
    )
    drive(run)
    assert run.output == {"turns": 1, "last": "goodbye"}
    (listed,) = client(run).get(at(run, "signals")).json()["results"]
    assert (listed["name"], listed["consumed_by"]) == ("say", "turn-0")


def test_a_signal_is_kept_until_it_is_wanted_and_listed_meanwhile() -> None:
    run = begun("example.conversation")
    sent = client(run).post(at(run, "signals"), {"name": "say", "value": "goodbye"})
    assert sent.json()["resumed"] is False
    client(run).post(at(run, "signals"), {"name": "other"})
    pending = client(run, Role.VIEWER).get(at(run, "signals") + "?pending=true&name=other")
    assert [signal["number"] for signal in pending.json()["results"]] == [2]
    drive(run)
    assert run.status == Status.COMPLETED


def test_the_same_key_is_the_same_signal_and_another_value_is_refused() -> None:
    run = begun("example.conversation")
    caller, body = client(run), {"name": "say", "value": 1, "dedup_key": "a"}
    assert caller.post(at(run, "signals"), body).json()["delivered"] is True
    assert caller.post(at(run, "signals"), body).json() == {
        "delivered": False,
        "resumed": False,
        "number": 1,
    }
    other = caller.post(at(run, "signals"), body | {"value": 2})
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_MISMATCH")
    assert Signal.objects.count() == 1
    # The keys of one sender are not those of another.
    assert client(run).post(at(run, "signals"), body | {"value": 2}).status_code == 202


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a*"}, "name"),
        ({"name": "a", "value": "\u0000"}, "value"),
        ({"name": "a", "dedup_key": "k" * 256}, "dedup_key"),
        ({"name": "a", "when": "now"}, "when"),
        ({}, "name"),
    ],
)
def test_what_is_no_signal_is_refused_by_field(body: dict[str, Any], field: str) -> None:
    run = begun("example.conversation")
    answer = client(run).post(at(run, "signals"), body)
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert not Signal.objects.exists()


def test_what_has_ended_hears_nothing() -> None:
    run = driven("example.echo", {"text": "x"})
    for what, body in (("signals", {"name": "say"}), ("messages", {"text": "hello"})):
        answer = client(run).post(at(run, what), body)
        assert (answer.status_code, answer.json()["code"]) == (409, "EXECUTION_STATE")


def test_strangers_and_viewers_send_nothing() -> None:
    run = begun("example.conversation")
    stranger = client_of(an_organization(), Role.OWNER)
    for what, body in (("signals", {"name": "say"}), ("messages", {"text": "hello"})):
        assert stranger.post(at(run, what), body).status_code == 404
        assert client(run, Role.VIEWER).post(at(run, what), body).status_code == 403
    assert stranger.get(at(run, "signals")).status_code == 404
    assert not Signal.objects.exists()


def test_a_message_is_heard_before_the_next_turn() -> None:
    run = a_run(an_agent(), {"say": "one"})
    assert client(run).post(at(run, "messages"), {"text": "And now?"}).status_code == 202
    drive(run)
    assert run.status == Status.COMPLETED
    said = list(Entry.objects.filter(execution=run).values_list("type", "content__text"))
    assert ("injection", "And now?") in said
    run.refresh_from_db()
    assert run.signals_pending == 0


def test_a_message_at_the_end_gets_another_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    from executions.engine.run import Run

    run, original = a_run(an_agent(), {"say": "one"}), Run.complete

    def complete_late(self: Run, output: Any) -> bool:
        if not Signal.objects.exists():
            client(run).post(at(run, "messages"), {"text": "One more thing."})
        return original(self, output)

    monkeypatch.setattr(Run, "complete", complete_late)
    drive(run)
    assert run.status == Status.COMPLETED
    said = list(
        Entry.objects.filter(execution=run).order_by("position").values_list("role", flat=True)
    )
    assert said == ["user", "assistant", "user", "assistant"]
    assert not Signal.objects.filter(consumed_at=None).exists()


def test_kinds_that_do_not_converse_end_though_a_message_waits() -> None:
    run = begun("example.echo", {"text": "x"})
    client(run).post(at(run, "messages"), {"text": "hello"})
    drive(run)
    assert (run.status, run.signals_pending) == (Status.COMPLETED, 1)


def test_too_many_signals_are_refused() -> None:
    run = begun("example.conversation")
    Execution.objects.filter(pk=run.pk).update(signals_pending=10_000)
    answer = client(run).post(at(run, "signals"), {"name": "say"})
    assert (answer.status_code, answer.json()["code"]) == (429, "SIGNALS_FULL")


def test_a_signal_to_what_is_paused_waits_for_its_resume() -> None:
    run = driven("example.conversation")
    actions.pause(run, by=SYSTEM)
    assert client(run).post(at(run, "signals"), {"name": "say"}).json()["resumed"] is False
    run.refresh_from_db()
    assert run.status == Status.PAUSED
    actions.resume(run, by=SYSTEM)
    run.refresh_from_db()
    assert run.status == Status.QUEUED


def test_a_paused_one_whose_wait_is_unmet_waits_on_when_it_is_resumed() -> None:
    run = driven("example.conversation")
    actions.pause(run, by=SYSTEM)
    client(run).post(at(run, "signals"), {"name": "other"})
    actions.resume(run, by=SYSTEM)
    run.refresh_from_db()
    assert run.status == Status.WAITING


def test_a_repeated_request_sends_once() -> None:
    run = begun("example.conversation")
    caller = client(run)
    answers = [
        caller.post(at(run, "signals"), {"name": "say"}, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert Signal.objects.count() == 1


def test_the_document_says_what_is_waited_for() -> None:
    run = driven("example.conversation")
    wait = client(run).get(f"{API}/executions/agents/{run.id}").json()["wait"]
    assert {condition["kind"] for condition in wait["conditions"]} == {"signal", "timer"}
    assert {condition["name"] for condition in wait["conditions"] if condition.get("name")} == {
        "say"
    }


def test_the_row_counts_what_waits() -> None:
    run = begun("example.conversation")
    for name in ("say", "other", "say"):
        client(run).post(at(run, "signals"), {"name": name})
    run.refresh_from_db()
    assert run.signals_pending == 3
    claim = claimed(run)
    assert claim.execution.signals_pending == 3


def test_a_start_brings_its_signals() -> None:
    agent = an_agent_of("example.conversation")
    caller = client_of(agent.organization, Role.OPERATOR)
    signal = {"name": "say", "value": "goodbye", "dedup_key": "mail-1"}
    started = caller.post(
        f"{API}/executions/agents", {"agent": agent.slug, "with": {}, "signals": [signal]}
    )
    assert started.status_code == 202, started.json()
    run = Execution.objects.get(pk=started.json()["exec_id"])
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, {"turns": 1, "last": "goodbye"})
    for number, wrong in enumerate(({"name": "a b"}, {"name": "a", "x": 1}, {"name": "a" * 201})):
        body = {"agent": agent.slug, "with": {"n": number}, "signals": [wrong]}
        assert caller.post(f"{API}/executions/agents", body).status_code == 422
    too_many = {"agent": agent.slug, "with": {}, "signals": [{"name": "s"}] * 21}
    assert caller.post(f"{API}/executions/agents", too_many).status_code == 422


def test_two_signals_of_a_start_that_contradict_each_other_start_nothing() -> None:
    agent = an_agent_of("example.conversation")
    caller = client_of(agent.organization, Role.OPERATOR)
    said = [{"name": "say", "value": number, "dedup_key": "a"} for number in (1, 2)]
    answer = caller.post(
        f"{API}/agents/{agent.slug}/executions/async", {"with": {}, "signals": said}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "IDEMPOTENCY_MISMATCH")
    assert not Execution.objects.exists()


def test_a_value_is_no_larger_than_can_be_kept_by_the_thousand() -> None:
    run = begun("example.conversation")
    for value, status in (("x" * (64 * 1024 - 2), 202), ("x" * (64 * 1024 - 1), 422)):
        answer = client(run).post(at(run, "signals"), {"name": "s", "value": value})
        assert answer.status_code == status
    assert client(run).post(at(run, "messages"), {"text": "ä" * 16_000}).status_code == 202
    assert client(run).post(at(run, "messages"), {"text": "ä" * 16_001}).status_code == 422


def test_what_a_person_says_is_in_the_record() -> None:
    run = begun("example.conversation")
    client(run).post(at(run, "messages"), {"text": "hello"})
    line = Activity.objects.get(type="execution.message")
    assert (line.execution_id, line.data["number"]) == (run.id, 1)
