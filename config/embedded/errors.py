"""Name the one way in which embedded services fail."""


class EmbeddedError(Exception):
    """An embedded service cannot run here; the message says why and what to do."""
