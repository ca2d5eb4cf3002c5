"""Why a gateway did not deliver."""


class DeliveryFailed(Exception):
    """The other side did not take it; says why, for operators only."""
