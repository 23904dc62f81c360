"""The table of transitions is all that there is: every pair is tried against the database."""

import itertools

import pytest

from accounts.actors import SYSTEM
from instances import lifecycle
from instances.errors import InvalidTransition
from instances.models import Event, Instance, Operation
from instances.states import TRANSITIONS, Status
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def instance():
    factories.node()
    return lifecycle.create(
        account_id=factories.customer().account.pk,
        by=SYSTEM,
        max_databases=None,
        max_storage_mb=32,
        name="db",
        region=None,
        protocol="redis",
        log_level="info",
    )


@pytest.mark.parametrize("source, target", list(itertools.product(Status, Status)))
def test_a_pair_is_possible_if_the_table_has_it(instance, source, target):
    Instance.objects.update(status=source)
    if source in TRANSITIONS[target]:
        lifecycle.transition(instance, target, verb="it")
        assert (instance.status, instance.generation) == (target, 2)
    else:
        with pytest.raises(InvalidTransition, match=source):
            lifecycle.transition(instance, target, verb="it")
        assert (instance.status, instance.generation) == (source, 1)


def test_every_state_is_a_target_and_deleted_is_the_end():
    assert TRANSITIONS.keys() == set(Status)
    assert not any(Status.DELETED in sources for sources in TRANSITIONS.values())


@pytest.mark.parametrize("status", Status)
def test_a_stale_copy_changes_nothing_that_has_moved_on(instance, status):
    """The decision is the database's, whatever the caller's copy says."""
    stale = Instance.objects.get()
    stale.status = Status.RUNNING
    Instance.objects.update(status=status)
    before = (Operation.objects.count(), Event.objects.count())
    if status in TRANSITIONS[Status.RESTARTING]:
        lifecycle.restart(stale, by=SYSTEM)
    else:
        with pytest.raises(InvalidTransition):
            lifecycle.restart(stale, by=SYSTEM)
        assert (Operation.objects.count(), Event.objects.count()) == before
