import uuid
from typing import Any

from celery import shared_task

from accounts.actors import Actor
from nodes import errands, health, history, running_errands, upgrades


@shared_task(name="nodes.probe")
def probe() -> None:
    health.probe_all()


@shared_task(name="nodes.upgrade_agents")
def upgrade_agents() -> None:
    upgrades.roll_out()


@shared_task(name="nodes.forget_history")
def forget_history() -> None:
    history.forget()
    errands.forget()


@shared_task(name="nodes.run_errand")
def run_errand(errand_id: str, by: dict[str, Any]) -> None:
    running_errands.run(uuid.UUID(errand_id), by=Actor.unpacked(by))
