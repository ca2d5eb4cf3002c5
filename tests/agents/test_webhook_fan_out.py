"""Lines of the record become deliveries once, in the order of commits, and none is passed over."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from agents import deliveries, fanout
from agents.activity import SYSTEM, record
from agents.deliveries import hint_due, prune
from agents.fanout import fan_out
from agents.models import Activity, Delivery, DeliveryAttempt, WebhookEndpoint
from agents.redis import client
from tests.agents.delivering import TYPE, await_older_transactions, shift, tell
from tests.factories import all_at_once, make_endpoint, make_organization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def endpoint(organization):
    return make_endpoint(organization, types=[TYPE])


def events_of(endpoint):
    return list(endpoint.deliveries.order_by("xact", "event_id").values_list("event_id", flat=True))


def test_a_line_that_is_committed_late_is_not_passed_over(organization, endpoint) -> None:
    written, go_on = threading.Event(), threading.Event()
    late = []

    def write_slowly() -> None:
        with transaction.atomic():
            late.append(record(organization.id, TYPE, by=SYSTEM))
            written.set()
            go_on.wait(30)
        connection.close()

    writer = threading.Thread(target=write_slowly)
    writer.start()
    written.wait(30)
    early = record(organization.id, TYPE, by=SYSTEM)
    fan_out(endpoint.pk)
    before = events_of(endpoint)
    go_on.set()
    writer.join()
    await_older_transactions()
    fan_out(endpoint.pk)
    assert before == []
    assert events_of(endpoint) == [late[0].id, early.id]


def test_two_at_once_make_each_delivery_once(organization, endpoint) -> None:
    lines = tell(organization, 20)
    found = all_at_once(*[lambda: fan_out(endpoint.pk)] * 4)
    assert not [each for each in found if isinstance(each, Exception)]
    fan_out(endpoint.pk)
    assert events_of(endpoint) == [line.id for line in lines]


def test_a_place_that_fell_back_makes_no_delivery_twice(organization, endpoint) -> None:
    lines = tell(organization, 3)
    fan_out(endpoint.pk)
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(cursor_xact=endpoint.cursor_xact)
    fan_out(endpoint.pk)
    assert events_of(endpoint) == [line.id for line in lines]
    row = endpoint.deliveries.first()
    row.pk = None
    with pytest.raises(IntegrityError, match="one_delivery_an_event"):
        row.save(force_insert=True)


def test_it_is_left_to_who_is_at_it(organization, endpoint) -> None:
    tell(organization)
    with transaction.atomic():
        WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=endpoint.pk)
        assert all_at_once(lambda: fan_out(endpoint.pk)) == [False]
    assert events_of(endpoint) == []


def test_many_lines_are_taken_page_by_page(organization, endpoint, monkeypatch) -> None:
    monkeypatch.setattr(fanout, "PAGE", 3)
    with transaction.atomic():  # Lines of one transaction too.
        lines = tell(organization, 7)
    await_older_transactions()
    assert [fan_out(endpoint.pk) for _ in range(3)] == [True, True, False]
    assert events_of(endpoint) == [line.id for line in lines]


def test_what_is_older_than_thirty_days_is_passed_over(organization, endpoint) -> None:
    old, new = tell(organization, 2)
    Activity.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=31))
    fan_out(endpoint.pk)
    assert events_of(endpoint) == [new.id]


def test_what_waits_for_its_time_is_not_brought_forward(organization, endpoint) -> None:
    tell(organization)
    fan_out(endpoint.pk)
    due = timezone.now() + timedelta(hours=1)
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(due_at=due)
    tell(organization)
    fan_out(endpoint.pk)
    endpoint.refresh_from_db()
    assert (endpoint.due_at, len(events_of(endpoint))) == (due, 2)


def test_writing_a_line_asks_nothing_of_endpoints(organization, django_assert_num_queries) -> None:
    make_endpoint(organization)
    with django_assert_num_queries(1):
        record(organization.id, TYPE, by=SYSTEM)


def test_the_sweep_hints_at_what_there_is_to_do_and_at_nothing_else(organization, endpoint) -> None:
    idle = make_endpoint(make_organization(), types=[TYPE])
    off = make_endpoint(organization, is_enabled=False)
    await_older_transactions()
    fan_out(idle.pk)
    fan_out(endpoint.pk)
    client().delete("deliveries")
    assert hint_due() == 0
    tell(organization)
    assert hint_due() == 1
    assert hint_due() == 0, "It was hinted at just now."
    (message,) = client().lrange("deliveries", 0, -1)
    assert "agents.tasks.deliver_to_endpoint" in message
    assert str(endpoint.pk) in _argument(message)
    shift(endpoint, hinted_at=timedelta(minutes=1))
    assert hint_due() == 1
    shift(endpoint, hinted_at=timedelta(minutes=1))
    fan_out(endpoint.pk)
    assert hint_due() == 1, "It is due."
    shift(endpoint, hinted_at=timedelta(minutes=1))
    deliveries.claim(endpoint.pk)
    assert hint_due() == 0, "Somebody is at it."
    shift(endpoint, leased_until=timedelta(minutes=2))
    assert hint_due() == 1, "Whoever was at it is gone."
    off.refresh_from_db()
    assert off.hinted_at is None


def _argument(message: str) -> str:
    import base64
    import json

    return base64.b64decode(json.loads(message)["body"]).decode()


def test_what_is_old_is_removed_in_batches(organization, endpoint, monkeypatch) -> None:
    monkeypatch.setattr(deliveries, "PRUNED_AT_ONCE", 2)
    lines = tell(organization, 6)
    fan_out(endpoint.pk)
    deliveries.claim(endpoint.pk)
    old = [line.id for line in lines[:5]]
    Delivery.objects.filter(event_id__in=old).update(
        created_at=F("created_at") - timedelta(days=31)
    )
    assert prune() == 5
    assert (events_of(endpoint), DeliveryAttempt.objects.count()) == ([lines[5].id], 0)
