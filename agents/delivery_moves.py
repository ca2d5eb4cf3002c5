"""The move from one delivery to the next as one statement, which is one commit and one round trip.

It does what `deliveries.settle` does in the usual case, or nothing at all: then that does it.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from agents import prepared
from agents.models import WebhookEndpoint

# Renewed once less than half of it is left: a try takes ten seconds at most.
LEASE = timedelta(seconds=60)

# All or nothing hangs on `begun`: who else changes what is to be delivered holds the endpoint too,
# and the row of the next is looked at again once the lock is there.
_GO_ON = """
WITH fence AS (
  SELECT id FROM agents_webhookendpoint
  WHERE id = %(endpoint)s AND claim = %(claim)s AND updated_at = %(as_read)s AND failures = 0
    AND leased_until > clock_timestamp() + %(left)s
  FOR NO KEY UPDATE
), begun AS (
  UPDATE agents_delivery SET attempts = attempts + 1
  WHERE id = %(next)s AND state = 'pending' AND EXISTS (SELECT FROM fence) AND id = (
    SELECT d.id FROM agents_delivery AS d
    WHERE d.endpoint_id = %(endpoint)s AND d.state = 'pending' AND d.id <> %(done)s
    ORDER BY d.xact, d.event_id LIMIT 1)
  RETURNING id, attempts
), tried AS (
  UPDATE agents_deliveryattempt SET status = %(status)s, milliseconds = %(milliseconds)s
  WHERE id = %(attempt)s AND EXISTS (SELECT FROM begun)
), delivered AS (
  UPDATE agents_delivery SET state = 'delivered', delivered_at = clock_timestamp()
  WHERE id = %(done)s AND EXISTS (SELECT FROM begun)
)
INSERT INTO agents_deliveryattempt (id, delivery_id, number, problem, started_at)
SELECT %(begun)s, id, attempts, '', clock_timestamp() FROM begun
RETURNING id
"""


def go_on(
    endpoint: WebhookEndpoint, done: UUID, attempt: UUID, status: int, milliseconds: int, then: UUID
) -> UUID | None:
    """Write that a try was taken, and begin a try of the delivery that comes then; the try's id.

    None, and nothing is written, unless the claim is the newest and has half its lease, nobody has
    changed the endpoint since it was read, nothing fails, and none that is pending is older.
    """
    row = prepared.first(
        _GO_ON,
        {
            "endpoint": endpoint.pk,
            "claim": endpoint.claim,
            "as_read": endpoint.updated_at,
            "left": LEASE / 2,
            "done": done,
            "attempt": attempt,
            "status": status,
            "milliseconds": milliseconds,
            "next": then,
            "begun": uuid7(),
        },
    )
    return row[0] if row else None
