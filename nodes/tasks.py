from celery import shared_task

from nodes import health
from nodes.models import Node


@shared_task(name="nodes.probe")
def probe() -> None:
    health.probe(list(Node.objects.all()))
