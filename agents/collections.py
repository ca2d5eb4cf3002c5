"""How collections of operators answer: 201 with the place of what is new, and changes by PATCH."""

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework import mixins, status, viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from agents.activity import Actor
from agents.rest.etag import EtagMixin
from agents.rest.idempotency import IdempotentMixin
from agents.rest.permissions import TenantMixin

Row = TypeVar("Row", bound=Model)
Fields = Mapping[str, Any]


class ByActor:
    """Names who asks, as actions and the permanent record want it."""

    @property
    def actor(self) -> Actor:
        actor: Actor = self.request.auth.actor  # type: ignore[attr-defined]  # APIView's.
        return actor


class Creating(ByActor):
    """POST: 201 and `Location`."""

    def add(self, fields: Fields) -> Any:
        """Call the action that makes the new thing of these valid fields."""
        raise NotImplementedError

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=request.data)  # type: ignore[attr-defined]  # GenericAPIView's.
        serializer.is_valid(raise_exception=True)
        serializer.instance = self.add(serializer.validated_data)
        return created(request, serializer.data)


class Changing(ByActor):
    """PATCH, and no PUT."""

    def change(self, found: Any, fields: Fields) -> Any:
        """Call the action that changes what was found by these valid fields."""
        raise NotImplementedError

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        found = self.get_object()  # type: ignore[attr-defined]  # GenericAPIView's.
        serializer = self.get_serializer(found, data=request.data, partial=True)  # type: ignore[attr-defined]  # GenericAPIView's.
        serializer.is_valid(raise_exception=True)
        serializer.instance = self.change(found, serializer.validated_data)
        return Response(serializer.data)


class Collection(  # type: ignore[misc]  # Mixins name DRF's request, the view's stub Django's.
    TenantMixin,
    IdempotentMixin,
    Creating,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[Row],
):
    """Things of one organization: listed, read, created once, removed."""

    lookup_url_kwarg: str

    def get_object(self) -> Row:
        rows = self.filter_queryset(self.get_queryset())
        return self.find(rows, self.kwargs[self.lookup_url_kwarg])

    def find(self, rows: QuerySet[Row], named: str) -> Row:
        """The one that the path names. Raises a 404."""
        return get_object_or_404(rows, pk=named)


class Versioned(EtagMixin, Changing, Collection[Row]):  # type: ignore[misc]  # As above.
    """The same for things with a time of last change: an ETag, and PATCH that may require it."""


def created(request: Request, body: Any) -> Response:
    """201, with the address of the new thing: below the collection that was posted to."""
    place = f"{request.path.rstrip('/')}/{body['id']}"
    return Response(body, status=status.HTTP_201_CREATED, headers={"Location": place})
