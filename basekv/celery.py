"""The worker's and the beat's way in: celery -A basekv worker, celery -A basekv beat."""

import os

from celery import Celery, chain, signature
from celery.signals import worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "basekv.settings")

app = Celery("basekv")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def look_at_the_fleet(**_: object) -> None:
    """A worker that has just started does not wait for the beat: what happened meanwhile is found out at once."""
    chain(signature("nodes.probe", immutable=True), signature("instances.reconcile", immutable=True)).delay()
