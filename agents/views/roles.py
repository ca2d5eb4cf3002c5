"""Which methods change something."""

CHANGES = ("POST", "PUT", "PATCH", "DELETE")
