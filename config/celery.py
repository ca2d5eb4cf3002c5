"""The Celery application: its queues and its ticks."""

import os

from celery import Celery
from kombu.transport.redis import Channel

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("signalbox")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# Messages are hints, so none is put back. kombu 5.7.0 tries to when the broker is lost between a
# message's delivery and its acknowledgement, and that ends the worker with exit code 1
# ("'NoneType' object has no attribute 'hostname'"), now and then when Redis is killed under load.
Channel.do_restore = False
