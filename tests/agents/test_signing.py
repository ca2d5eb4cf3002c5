"""What is posted is signed so that the verifier of Standard Webhooks takes it."""

from __future__ import annotations

from datetime import timedelta
from time import time

import pytest
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from agents.models import Gateway
from agents.signing import give_secret, rotate_secret, secrets_of, signed_headers

BODY = b'{"owls": 3}'


@pytest.fixture
def row() -> Gateway:
    made = Gateway(name="Owls")
    give_secret(made)
    return made


def headers(row: Gateway, moment: float | None = None) -> dict[str, str]:
    return signed_headers(secrets_of(row), "msg_1", int(moment or time()), BODY)


def test_the_signature_is_verified(row) -> None:
    assert row.secret not in row.sealed_secret
    assert Webhook(row.secret).verify(BODY, headers(row)) == {"owls": 3}


@pytest.mark.parametrize("what", ["body", "id", "time", "secret", "stale"])
def test_what_was_changed_is_refused(row, what) -> None:
    sent, secret = headers(row), row.secret
    if what == "id":
        sent["webhook-id"] = "msg_2"
    elif what == "time":
        sent["webhook-timestamp"] = str(int(sent["webhook-timestamp"]) - 1)
    elif what == "secret":
        give_secret(row)
        secret = row.secret
    elif what == "stale":
        sent = headers(row, time() - 600)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(b'{"owls": 4}' if what == "body" else BODY, sent)


def test_for_a_day_both_secrets_sign(row) -> None:
    old = row.secret
    rotate_secret(row)
    assert old != row.secret
    for secret in (old, row.secret):
        assert Webhook(secret).verify(BODY, headers(row))
    row.previous_secret_until = timezone.now() - timedelta(seconds=1)
    assert Webhook(row.secret).verify(BODY, headers(row))
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(BODY, headers(row))
