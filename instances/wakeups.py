"""Tells the workers that there is something to do. A lost message costs a moment: the sweep finds the operation."""

import logging
import time
import uuid
from typing import Any

from celery import current_app, signature
from kombu.exceptions import OperationalError

# Seconds in which nothing is sent after an attempt has failed: a frozen broker holds up one request now and then.
SILENCE = 5.0

logger = logging.getLogger(__name__)
silent_until = 0.0


def wake(operation_id: uuid.UUID) -> None:
    """Never raises, and takes as long as the broker's socket_timeout (settings) at worst."""
    global silent_until
    if time.monotonic() < silent_until:
        return
    try:
        signature("instances.converge", args=(str(operation_id),)).delay()
    except OperationalError as error:
        silent_until = time.monotonic() + SILENCE
        logger.warning("The broker does not answer; the sweep will find what is due. %s", error)


def waiting() -> int:
    """How many wake-ups no worker has taken yet."""
    with current_app.connection_for_write() as connection:
        channel: Any = connection.channel()
        return int(channel.queue_declare("operations").message_count)
