"""Every operation says that it can answer 429, and how long to wait then."""

from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def operations() -> list[dict[str, Any]]:
    generator: Any = SchemaGenerator()
    paths = generator.get_schema(request=None, public=True)["paths"]
    return [
        operation
        for path in paths.values()
        for method, operation in path.items()
        if method in METHODS
    ]


def test_every_operation_declares_429(operations: list[dict[str, Any]]) -> None:
    assert len(operations) > 100
    for operation in operations:
        answer = operation["responses"]["429"]
        assert answer["headers"]["Retry-After"]["schema"] == {"type": "integer"}
        assert "application/problem+json" in answer["content"], operation["operationId"]
