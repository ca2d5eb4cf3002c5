"""The composition root: what joins the apps into one running project."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
