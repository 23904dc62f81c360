"""The worker's and the beat's way in: celery -A basekv worker, celery -A basekv beat."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "basekv.settings")

app = Celery("basekv")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
