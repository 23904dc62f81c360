"""The beat: what is done again and again. At a steady pace, whatever happens to the clock on the wall."""

import logging
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import schedule
from celery.signals import beat_init

logger = logging.getLogger(__name__)

# Seconds from one to the next. A beat that was restarted begins to count anew.
PERIODS = {
    "instances.sweep": 2,
    "instances.reconcile": 5,
    "instances.deal_with_orphans": 10,
    "nodes.probe": 10,
    "nodes.upgrade_agents": 10,
    "instances.refresh_alerts": 15,
    "instances.watch_invariants": 300,
    "nodes.forget_history": 3600,
    "instances.forget_idempotency_keys": 3600,
    "instances.forget_alerts": 3600,
}
# Messages in the queue of the watch. With that many nobody takes them, and more would only be in the way afterwards.
# Messages with an end of their own (`expires`) would be thrown away by every watcher whose clock is ahead.
FULL = 20

BEGAN = datetime.now(UTC) - timedelta(seconds=time.monotonic())


def steady() -> datetime:
    """Celery's beat goes by the clock on the wall, and is silent for a day when that is put back by a day."""
    return BEGAN + timedelta(seconds=time.monotonic())


SCHEDULE = {
    task: {"task": task, "schedule": schedule(timedelta(seconds=seconds), nowfun=steady)}
    for task, seconds in PERIODS.items()
}


class Beat(Scheduler):
    """Without a file of its own: it would keep times of an earlier clock."""

    ending = False

    def tick(self, *args: Any, **kwargs: Any) -> float:
        if self.ending:
            raise SystemExit
        return super().tick(*args, **kwargs)

    def apply_async(self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        waiting = producer.channel.queue_declare(self.app.conf.task_default_queue).message_count
        if waiting < FULL:
            return super().apply_async(entry, producer=producer, advance=advance, **kwargs)
        logger.warning("Nobody takes what the watchers are to do: %s wait in their queue.", waiting)
        return None


@beat_init.connect
def end_when_asked(sender: Any, **_: object) -> None:
    """Celery's own handler closes the connection to the broker, which may be in use: what that raises takes the place
    of the end, and the beat goes on for ever. The end itself can be lost in the same way, so it is noted down, too.
    """

    def end(*_: object) -> None:
        sender.scheduler.ending = True
        raise SystemExit

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
