"""The version of a row as an ETag, and changes that hold only for the version that was read."""

from collections.abc import Collection
from typing import Any

from django.db import transaction
from django.db.models import Model
from django.utils.http import parse_etags
from rest_framework.request import Request
from rest_framework.response import Response

from agents.rest.refusals import PreconditionFailed


def etag_of(row: Model) -> str:
    """A strong tag (RFC 9110, 8.8.3) of the row and the time of its last change."""
    changed = row.updated_at.isoformat()  # type: ignore[attr-defined]  # What EtagMixin asks for.
    return f'"{row.pk}/{changed}"'


def check_unchanged(request: Request, row: Model) -> None:
    """Nothing, if the request names no version or that of the row; call it under the row's lock.

    Raises PreconditionFailed. Weak tags never match, as RFC 9110, 13.1.1 says.
    """
    header = request.META.get("HTTP_IF_MATCH", "").strip()
    if not header or header == "*":
        return
    current = etag_of(row)
    if current not in parse_etags(header):
        raise PreconditionFailed(etag=current)


class EtagMixin:
    """For a viewset whose rows have `updated_at`: ETag on reads, `If-Match` on PATCH.

    PATCH, and the actions of POST that a view names in `conditional_actions`, run in one
    transaction and lock the row before they look at it, so that of two with the same tag one is
    refused.
    """

    request: Request
    conditional_actions: Collection[str] = ()

    @property
    def is_conditional(self) -> bool:
        """Whether this request may ask for the version that it changes."""
        is_named = getattr(self, "action", None) in self.conditional_actions
        return is_named or self.request.method == "PATCH"

    def lock(self, row: Any) -> None:
        """Lock the row until the transaction ends."""
        type(row)._base_manager.select_for_update(no_key=True).filter(pk=row.pk).first()

    def get_object(self) -> Any:
        found = super().get_object()  # type: ignore[misc]  # GenericAPIView's.
        if self.is_conditional:
            # Lock in one statement, look in the next: what the first saw may be old by now.
            self.lock(found)
            found = super().get_object()  # type: ignore[misc]  # GenericAPIView's.
            check_unchanged(self.request, found)
        self._seen: Model = found
        return found

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().retrieve(request, *args, **kwargs)  # type: ignore[misc]  # RetrieveModelMixin's.
        response["ETag"] = etag_of(self._seen)
        return response

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with transaction.atomic():
            response: Response = super().partial_update(request, *args, **kwargs)  # type: ignore[misc]  # UpdateModelMixin's.
            self._seen.refresh_from_db(fields=["updated_at"])
        response["ETag"] = etag_of(self._seen)
        return response
