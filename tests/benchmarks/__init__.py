"""Measurements: what a durable run costs, beside what it could cost at least."""
