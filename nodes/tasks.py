from celery import shared_task

from nodes import health, history, upgrades


@shared_task(name="nodes.probe")
def probe() -> None:
    health.probe_all()


@shared_task(name="nodes.upgrade_agents")
def upgrade_agents() -> None:
    upgrades.roll_out()


@shared_task(name="nodes.forget_history")
def forget_history() -> None:
    history.forget()
