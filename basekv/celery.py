"""The way in of the workers and the beat.

celery -A basekv worker -Q operations    carries out what is asked of instances
celery -A basekv worker -Q watch         watches over the fleet
celery -A basekv beat
"""

import logging
import os
import threading
from typing import Any

from celery import Celery, chain, signature
from celery.signals import worker_ready, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "basekv.settings")

app = Celery("basekv")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

logger = logging.getLogger(__name__)

# Seconds that a worker gives its operations when it is to end; then it hands over those that are not done. Less than
# what systemd (deploy/) and the local stack wait before they kill it.
GRACE = 5.0


@worker_ready.connect
def look_at_the_fleet(sender: Any, **_: object) -> None:
    """A watcher that has just started does not wait for the beat: what happened meanwhile is found out at once."""
    queues = set(sender.app.amqp.queues.consume_from)
    if "watch" in queues:
        chain(signature("nodes.probe", immutable=True), signature("instances.reconcile", immutable=True)).delay()
    if {"watch", "operations"} <= queues:
        logger.warning("This worker serves both queues: many operations at once can delay the watch over the fleet.")


@worker_shutting_down.connect
def hand_over_in_time(**_: object) -> None:
    """Celery waits for what runs. An operation whose node does not answer would make it wait for long."""
    from nodes import transport  # not above: the web server loads this module too

    timer = threading.Timer(GRACE, transport.abandon)
    timer.daemon = True
    timer.start()
