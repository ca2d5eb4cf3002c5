"""Fixtures that every part of the suite shares."""

from pathlib import Path

import pytest
from django.db import connections

# A file that takes minutes, begun last, would leave all other workers without work.
_LONGEST_FIRST = ("chaos", "config", "executions", "benchmarks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders whose files take longest; the others follow as they are."""

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return _LONGEST_FIRST.index(folder) if folder in _LONGEST_FIRST else len(_LONGEST_FIRST)

    items.sort(key=place)


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
