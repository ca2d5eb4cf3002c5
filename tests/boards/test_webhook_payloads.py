"""What webhooks brought is cut by the database."""

import pytest

from boards.models import Webhook, WebhookPayload
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
