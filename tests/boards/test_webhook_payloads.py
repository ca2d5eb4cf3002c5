"""What webhooks brought is cut by the database, and removed after a while."""

from datetime import timedelta

import pytest
from django.db.models import F, QuerySet
from django.utils import timezone

from boards.actions import payloads
from boards.models import PayloadState, Webhook, WebhookPayload
from boards.queries import read_payload
from tests.factories import counted_queries, make_board, make_organization

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("most", "text", "truncated"), [(3, "ówl", True), (4, "ówls", False), (5, "ówls", False)]
)
def test_a_payload_is_cut_to_what_is_asked_for(most, text, truncated):
    webhook = Webhook.objects.create(board=make_board(make_organization()), name="w")
    row = WebhookPayload.objects.create(webhook=webhook, body="ówls")
    with counted_queries() as queries:
        found = read_payload(WebhookPayload.objects.filter(pk=row.pk), most)
    assert (found.text, found.truncated) == (text, truncated)
    assert len(queries) == 1
    assert '"body",' not in queries[0]["sql"].split("LEFT(")[0]


def test_a_payload_that_is_not_among_the_rows_is_none():
    assert read_payload(WebhookPayload.objects.none(), 10) is None


def test_what_is_old_is_removed_in_batches_unless_it_waits(monkeypatch):
    monkeypatch.setattr(payloads, "PRUNED_AT_ONCE", 2)
    webhook = Webhook.objects.create(board=make_board(make_organization()), name="w")
    for number in range(5):
        WebhookPayload.objects.create(webhook=webhook, body=str(number))
    WebhookPayload.objects.create(
        webhook=webhook, body="waits", state=PayloadState.WAITING, due_at=timezone.now()
    )
    age(webhook, timedelta(days=31))
    WebhookPayload.objects.create(webhook=webhook, body="young")
    assert payloads.prune() == 5
    left = webhook.payloads.order_by("id").values_list("body", flat=True)
    assert list(left) == ["waits", "young"]


def test_one_that_begins_to_wait_meanwhile_is_kept(monkeypatch):
    webhook = Webhook.objects.create(board=make_board(make_organization()), name="w")
    row = WebhookPayload.objects.create(webhook=webhook, body="x")
    age(webhook, timedelta(days=31))
    delete = QuerySet.delete

    def begin_to_wait(rows):
        WebhookPayload.objects.update(state=PayloadState.WAITING, due_at=timezone.now())
        return delete(rows)

    monkeypatch.setattr(QuerySet, "delete", begin_to_wait)
    assert payloads.prune() == 0
    assert WebhookPayload.objects.filter(pk=row.pk).exists()


def age(webhook, by):
    webhook.payloads.update(created_at=F("created_at") - by)
