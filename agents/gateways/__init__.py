"""The ways to reach agents and people: one adapter for each kind of gateway."""
