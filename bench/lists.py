"""A list of 1,000 instances: DRF's ModelSerializer against ours, side by side in one run. Nothing is kept.

set -a; . .devstack/env; set +a; .venv/bin/python -m bench.lists
"""

import statistics
import sys
import time
from collections.abc import Callable

import django

django.setup()

from django.db import transaction  # noqa: E402
from rest_framework import serializers  # noqa: E402
from rest_framework.renderers import JSONRenderer  # noqa: E402

from accounts.models import Account  # noqa: E402
from basekv.api import answers  # noqa: E402
from instances.models import Instance  # noqa: E402
from nodes.models import Node, Region  # noqa: E402

ROWS, ROUNDS = 1000, 11


class Stock(serializers.ModelSerializer[Instance]):
    region = serializers.CharField(source="node.region_id")
    host = serializers.CharField(source="node.host")
    ports = serializers.SerializerMethodField()

    class Meta:
        model = Instance
        fields = [
            *("id", "name", "status", "protocol", "region", "node_id", "host", "ports"),
            *("log_level", "storage_mb", "created_at", "updated_at"),
        ]

    def get_ports(self, row: Instance) -> dict[str, int | None]:
        return {"redis": row.redis_port, "memcached": row.memcached_port, "http": row.http_port}


def stock() -> bytes:
    rows = Instance.objects.filter(account=account).select_related("node").order_by("created_at", "id")
    return bytes(JSONRenderer().render(Stock(rows, many=True).data))


def ours() -> bytes:
    rows = Instance.objects.filter(account=account).order_by("created_at", "id")
    return ",".join(rows.values_list(answers.INSTANCE, flat=True)).encode()


def seconds(work: Callable[[], bytes]) -> float:
    began = time.perf_counter()
    assert len(work()) > ROWS * 100
    return time.perf_counter() - began


with transaction.atomic():
    region = Region.objects.create(slug="bench", name="Bench")
    node = Node.objects.create(
        name="bench", region=region, host="h", ssh_host="h", ssh_user="u", capacity_mb=10**6, slots=ROWS
    )
    account = Account.objects.create(name="bench")
    Instance.objects.bulk_create(
        Instance(account=account, node=node, name=f"db {n}", storage_mb=64, slot=n, reserved_mb=80, redis_port=n)
        for n in range(ROWS)
    )
    pairs = [(seconds(stock), seconds(ours)) for _ in range(ROUNDS)]
    transaction.set_rollback(True)

slow, fast = (statistics.median(times) * 1000 for times in zip(*pairs, strict=True))
ratio = statistics.median(a / b for a, b in pairs)
sys.stdout.write(f"{ROWS} rows: ModelSerializer {slow:.0f} ms, ours {fast:.1f} ms, ratio {ratio:.1f}\n")
