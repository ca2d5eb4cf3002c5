"""Hand on the names of the embedded PostgreSQL and Redis."""

from config.embedded.errors import EmbeddedError
from config.embedded.services import Services, ensure, stop

__all__ = ["EmbeddedError", "Services", "ensure", "stop"]
