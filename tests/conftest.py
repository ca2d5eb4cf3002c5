"""Fixtures that every part of the suite shares."""

import pytest
from django.db import connections


@pytest.fixture(autouse=True)
def _clean_redis(request: pytest.FixtureRequest) -> None:
    """Start each test of rows with an empty Redis, as if it had just been flushed."""
    asks = {"db", "transactional_db"} & set(request.fixturenames)
    if asks or request.node.get_closest_marker("django_db"):
        from agents.redis import client

        client().flushdb()


@pytest.fixture(scope="session", autouse=True)
def _patient_rates() -> None:
    """A busy machine's Redis may be late, and is not away: nothing would be counted for a while."""
    from agents.rest import rates

    rates._TIMEOUT_SECONDS = 20.0


@pytest.fixture(scope="session", autouse=True)
def _leave_no_connection():
    """Pools of threads that tests started would keep the test database from being dropped."""
    yield
    connections.close_all()
