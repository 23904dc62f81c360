"""How nodes were, for whoever looks back."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from nodes import health, history
from nodes.errors import Unreachable
from nodes.models import HealthSample, Node
from tests import factories
from tests.nodes.conftest import SshNode
from tests.nodes.test_health import row_of

pytestmark = pytest.mark.django_db

REPORT = {
    "load": [1.0, 0.5, 0.2],
    "cpus": 4,
    "memory": {"total_mb": 1000, "available_mb": 750},
    "disk": {"total_mb": 2000, "free_mb": 500},
}
LONG_AGO = timezone.now() - timedelta(days=30)


def minute(sample: HealthSample) -> bool:
    return sample.at.second == sample.at.microsecond == 0


def test_a_probe_round_leaves_one_sample_for_the_minute_and_one_for_a_change(ssh_node: SshNode) -> None:
    node = row_of(ssh_node, health="offline")
    health.probe([node])
    samples = list(history.of(node, LONG_AGO))
    assert [(minute(sample), sample.health, sample.error) for sample in samples] == [
        (True, "online", ""),
        (False, "online", ""),
    ]
    for sample in samples:
        assert sample.load >= 0
        assert 0 < sample.memory < 1
        assert 0 < sample.disk < 1
        assert abs(sample.clock_skew) < 5

    HealthSample.objects.all().delete()
    ssh_node.packed_file.write_bytes(b"")
    for _ in range(3):
        health.probe([Node.objects.get(pk=node.pk)])
    samples = list(history.of(node, LONG_AGO))
    assert len(samples) < 3
    sample = samples[0]
    assert minute(sample)
    assert "did not answer as an agent does" in sample.error
    assert (sample.health, sample.load, sample.clock_skew) == ("online", None, None), "a lost probe changes nothing"


def test_the_queries_do_not_grow_with_the_nodes() -> None:
    counts = []
    for size in (2, 30):
        round = [(factories.node(), REPORT) for _ in range(size)] + [(factories.node(), Unreachable("gone"))]
        with CaptureQueriesContext(
            connection,
        ) as queries:
            history.record(round)
        counts.append(len(queries))
        assert HealthSample.objects.filter(node__in=[node for node, _ in round]).count() == size + 1
    assert counts == [2, 2]
    sample = HealthSample.objects.filter(error="").first()
    assert (sample.load, sample.memory, sample.disk) == (0.25, 0.25, 0.75)


def test_a_node_that_was_removed_meanwhile_spoils_no_ones_sample() -> None:
    gone, here = factories.node(), factories.node()
    Node.objects.filter(pk=gone.pk).delete()
    history.record([(gone, REPORT), (here, REPORT)])
    assert [sample.node for sample in HealthSample.objects.all()] == [here]


def test_a_node_that_answers_nonsense_spoils_no_ones_sample_either() -> None:
    for nonsense in ({}, REPORT | {"cpus": 0}, REPORT | {"load": "high"}, REPORT | {"memory": []}):
        here = factories.node()
        history.record([(factories.node(), nonsense), (here, REPORT)])
        assert history.of(here, LONG_AGO).get().load == 0.25


def test_what_is_older_than_a_week_is_forgotten() -> None:
    node, now = factories.node(), timezone.now()
    for days in (6, 8):
        HealthSample.objects.create(node=node, at=now - timedelta(days=days), health="online")
    assert history.forget() == 1
    assert [sample.at for sample in history.of(node, LONG_AGO)] == [now - timedelta(days=6)]
