"""Signals of a remote agent: in hand of one claim, consumed with what came of them, never lost."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from agents.activity import SYSTEM
from executions import actions, signals
from executions.models import Event, Execution, Signal, Status
from tests.executions.asking import refused
from tests.executions.polling import BASE, ByHand, a_remote_agent, a_remote_run, worker_client
from tests.executions.test_dispatch_fence import lapse
from tests.factories import all_at_once
from tests.starting import an_organization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def claimed() -> ByHand:
    organization = an_organization()
    a_remote_run(a_remote_agent(organization))
    return ByHand(worker_client(organization))


def send(claimed: ByHand, *names: str) -> None:
    for value, name in enumerate(names, start=1):
        signals.send(claimed.row, name=name, value=value, by=SYSTEM)


def take(claimed: ByHand, **asked: Any) -> list[int]:
    found = claimed.told("signals/consume", **asked)["signals"]
    return [signal["value"] for signal in found]


def consumed() -> list[int]:
    rows = Signal.objects.filter(consumed_at__isnull=False).order_by("number")
    return list(rows.values_list("value", flat=True))


def pending(claimed: ByHand) -> int:
    left = Signal.objects.filter(consumed_at=None).count()
    assert claimed.row.signals_pending == left
    return left


def test_they_are_taken_in_order_by_name_or_pattern(claimed: ByHand) -> None:
    send(claimed, "a.x", "b", "a.y", "a.z")
    assert take(claimed, glob="a.*", limit=2) == [1, 3]
    assert take(claimed, name="b") == [2]
    assert take(claimed, glob="*", limit=10) == [4]
    assert take(claimed, glob="*", limit=10) == []
    assert pending(claimed) == 4


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("entries", {"entries": [{"text": "x"}, {"text": "y"}]}),
        ("checkpoints", {"sequence": 1, "state": {}}),
        ("complete", {}),
        ("fail", {"message": "x"}),
        ("suspend", {"conditions": [{"kind": "signal", "name": "other"}]}),
    ],
)
def test_what_is_in_hand_is_consumed_with_what_is_written_next(
    claimed: ByHand, call: str, body: dict[str, Any]
) -> None:
    send(claimed, "a", "a")
    take(claimed, name="a")
    assert consumed() == []
    claimed.told(call, **body)
    assert consumed() == [1]
    assert pending(claimed) == 1
    assert Event.objects.filter(type="signal.consumed").count() == 1


@pytest.mark.parametrize("call", ["heartbeat", "signals/consume"])
def test_and_by_nothing_that_keeps_no_progress(claimed: ByHand, call: str) -> None:
    send(claimed, "a")
    take(claimed, name="a")
    claimed.told(call, **({"name": "b"} if "consume" in call else {}))
    assert pending(claimed) == 1


def test_a_lost_claim_gives_them_back_in_their_order(claimed: ByHand) -> None:
    send(claimed, "a", "a", "a")
    assert take(claimed, name="a", limit=2) == [1, 2]
    lapse(claimed)
    other = ByHand(claimed.client)
    assert take(other, name="a", limit=3) == [1, 2, 3]
    other.told("complete")
    assert consumed() == [1, 2, 3]


@pytest.mark.parametrize("how", ["yielded", "paused"])
def test_a_release_gives_them_back(claimed: ByHand, how: str) -> None:
    send(claimed, "a")
    take(claimed, name="a")
    claimed.told("release", **{"as": how})
    assert not Signal.objects.exclude(reserved_by=None).exists()
    assert take(ByHand(claimed.client), name="a") == [1]


def test_ten_consumers_of_five_signals(claimed: ByHand) -> None:
    send(claimed, *["a"] * 5)
    found = all_at_once(*[lambda: take(claimed, name="a")] * 10)
    assert sorted(value for each in found for value in each) == [1, 2, 3, 4, 5]
    claimed.say("x")
    assert consumed() == [1, 2, 3, 4, 5]
    assert pending(claimed) == 0


def test_an_answer_that_got_lost_is_given_again(claimed: ByHand) -> None:
    send(claimed, "a", "a")
    url, body = f"{BASE}/{claimed.id}/signals/consume", {"epoch": claimed.epoch, "name": "a"}
    first = claimed.client.post(url, body, HTTP_IDEMPOTENCY_KEY="k").json()
    again = claimed.client.post(url, body, HTTP_IDEMPOTENCY_KEY="k").json()
    assert first == again
    assert take(claimed, name="a") == [2]


def test_what_is_pending_is_seen_without_being_taken(claimed: ByHand) -> None:
    send(claimed, "a/b", "a/c", "d")
    found = claimed.get("signals/a/*").json()
    assert (found["count"], [each["name"] for each in found["signals"]]) == (2, ["a/b", "a/c"])
    assert claimed.get("signals/d").json()["count"] == 1
    assert claimed.get("signals/e").json() == {"count": 0, "signals": []}
    assert take(claimed, name="a/b") == [1]


@pytest.mark.parametrize(
    "body",
    [{}, {"name": "a", "glob": "b"}, {"name": "a*"}, {"name": "a", "limit": 0}, {"glob": " "}],
)
def test_what_cannot_be_taken_is_refused(claimed: ByHand, body: dict[str, Any]) -> None:
    refused(claimed.send("signals/consume", **body), 422, "VALIDATION_FAILED")


# --- what people say


def test_messages_come_with_every_answer_until_they_are_taken(claimed: ByHand) -> None:
    signals.send(claimed.row, name="message", value={"text": "Stop."}, by=SYSTEM)
    for told in (claimed.told("heartbeat"), claimed.say("x")):
        assert [message["value"] for message in told["messages"]] == [{"text": "Stop."}]
    told = claimed.told("signals/consume", name="message")
    assert (len(told["signals"]), told["messages"]) == (1, [])
    lapse(claimed)
    other = ByHand(claimed.client)
    assert len(other.claimed["messages"]) == 1


def test_an_end_that_hears_messages_waits_for_them_to_be_taken(claimed: ByHand) -> None:
    signals.send(claimed.row, name="message", value="Stop.", by=SYSTEM)
    signals.send(claimed.row, name="other", by=SYSTEM)
    take(claimed, name="other")
    told = claimed.told("complete", output=1, hears_messages=True)
    assert (told["completed"], told["status"]) == (False, "running")
    assert [message["value"] for message in told["messages"]] == ["Stop."]
    # Nothing was written, so what was in hand still is.
    assert consumed() == []
    take(claimed, name="message")
    told = claimed.told("complete", output=2, hears_messages=True)
    assert (told["completed"], claimed.row.output) == (True, 2)


def test_an_end_that_does_not_hear_them_ends(claimed: ByHand) -> None:
    signals.send(claimed.row, name="message", value="Stop.", by=SYSTEM)
    assert claimed.told("complete", output=1)["completed"] is True


# --- waits


def wait(claimed: ByHand, *conditions: dict[str, Any], **more: Any) -> bool:
    told = claimed.told("suspend", conditions=list(conditions), **more)
    assert told["suspended"] is (told["lease_expires_at"] is None)
    suspended: bool = told["suspended"]
    return suspended


A = {"kind": "signal", "name": "a"}
B = {"kind": "signal", "name": "b.*"}
AT_ONCE = {"kind": "timer", "seconds": 0}
LATER = {"kind": "timer", "seconds": 3600}


def test_a_signal_that_came_before_ends_the_wait_at_once(claimed: ByHand) -> None:
    send(claimed, "a")
    assert wait(claimed, A) is False
    assert claimed.row.status == Status.RUNNING
    claimed.told("heartbeat")


def test_one_that_comes_later_wakes_it(claimed: ByHand) -> None:
    assert wait(claimed, A, LATER) is True
    assert (claimed.row.status, claimed.row.admitted_epoch) == (Status.WAITING, None)
    send(claimed, "other")
    assert claimed.row.status == Status.WAITING
    send(claimed, "a")
    other = ByHand(claimed.client)
    assert (other.id, take(other, name="a")) == (claimed.id, [1])


def test_what_is_in_hand_does_not_end_a_wait_for_the_next(claimed: ByHand) -> None:
    send(claimed, "a")
    take(claimed, name="a")
    assert wait(claimed, A) is True


def test_all_of_them(claimed: ByHand) -> None:
    send(claimed, "a")
    assert wait(claimed, A, B, mode="all") is True
    send(claimed, "b.1")
    assert ByHand(claimed.client).id == claimed.id


def test_a_timer_ends_it_whatever_the_mode(claimed: ByHand) -> None:
    assert wait(claimed, A, AT_ONCE, mode="all") is False


def test_a_pause_that_was_asked_for_is_not_lost_on_the_way(claimed: ByHand) -> None:
    actions.pause(claimed.row, by=SYSTEM)
    told = claimed.told("suspend", conditions=[A])
    assert (told["status"], claimed.row.pause_reason) == ("paused", "operator")
    send(claimed, "a")
    actions.resume(claimed.row, by=SYSTEM)
    assert ByHand(claimed.client).id == claimed.id


def test_suspending_and_signalling_at_once_lose_nothing(claimed: ByHand) -> None:
    for _ in range(8):
        all_at_once(partial(claimed.send, "suspend", conditions=[A]), partial(send, claimed, "a"))
        if claimed.row.status != Status.RUNNING:
            assert claimed.row.status == Status.QUEUED
            claimed = ByHand(claimed.client)
        assert take(claimed, name="a", limit=5) == [1]
        claimed.say("x")


@pytest.mark.parametrize(
    "conditions",
    [
        [],
        [{"kind": "signal"}],
        [{"kind": "signal", "name": "a b"}],
        [{"kind": "timer"}],
        [{"kind": "timer", "seconds": -1}],
        [AT_ONCE, LATER],
        [{"kind": "job"}],
        [{"kind": "job", "id": "0198f2b4-0000-7000-8000-000000000000"}],
        [{"kind": "child", "id": "0198f2b4-0000-7000-8000-000000000000"}],
        [{"kind": "approval", "id": "0198f2b4-0000-7000-8000-000000000000"}],
        [{"kind": "tool_call", "id": "0198f2b4-0000-7000-8000-000000000000"}],
        [{"kind": "unheard-of"}],
    ],
)
def test_what_cannot_be_waited_for_is_refused(claimed: ByHand, conditions: list[Any]) -> None:
    refused(claimed.send("suspend", conditions=conditions), 422, "VALIDATION_FAILED")
    assert claimed.row.status == Status.RUNNING


def test_it_waits_for_its_own_alone(claimed: ByHand) -> None:
    other = a_remote_run(a_remote_agent(claimed.row.organization))
    conditions = [{"kind": "child", "id": str(other.id)}]
    problem = refused(claimed.send("suspend", conditions=conditions), 422, "VALIDATION_FAILED")
    assert problem["errors"][0]["field"] == "conditions[0].id"
    Execution.objects.filter(pk=other.pk).update(parent=claimed.id)
    assert wait(claimed, *conditions) is True
