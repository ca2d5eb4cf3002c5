"""The key that every model has."""

from django.db import models
from uuid_utils.compat import uuid7


class Keyed(models.Model):
    """A UUIDv7 key (RFC 9562): random enough to be public, ordered enough for an index."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True
