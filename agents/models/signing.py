"""What a row has that signs what it posts."""

from typing import ClassVar

from django.db import models


class Signing(models.Model):
    """A secret, and for a while the one before it; both sealed (see `agents.sealing`)."""

    sealed_fields: ClassVar[tuple[str, ...]] = ("sealed_secret", "sealed_previous_secret")
    # In the clear, only on a row that was given one just now.
    secret: str = ""

    sealed_secret = models.TextField(blank=True, editable=False)
    sealed_previous_secret = models.TextField(blank=True, editable=False)
    previous_secret_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True
