"""The lifecycle against a plain model of it: any order of customers, workers, nodes and time ends in a legal history.

What is tried here is the database's history, so the agent is stood in for at `transport.call`, by one that keeps the
real one's rules about generations. tests/instances/test_provisioning.py has the real agent over real SSH.
"""

import itertools
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from unittest import mock

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from accounts.actors import SYSTEM
from instances import checks, lifecycle, provisioning, reconcile, tasks
from instances.errors import DatabaseLimitReached, InvalidTransition, NoNodeAvailable, NotFound
from instances.models import Event, Instance, Operation
from instances.states import TRANSITIONS
from nodes import health
from nodes.errors import AgentError, Unreachable
from nodes.models import Node
from tests import factories

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = (2, 3)
ROOM = (2, 3)  # what each node can take, the one for its slots and the other for its memory
FATES = [
    "succeeds",
    "succeeds",
    "is not reached",
    "answers too late",
    "loses the answer",
    "refuses for now",
    "refuses for good",
]
VERBS = ["restart", "restart", "rotate", "rotate", "delete", "delete by force"]

STEPS = [
    *("ask", "ask", "ask", "work", "work", "work", "work_and_be_overtaken", "work_and_be_overtaken"),
    *("create_another", "create_another", "sweep", "time_passes", "late_requests_arrive"),
    *("lose", "lose", "probe", "probe", "compare", "compare"),
]


@dataclass
class Database:
    """What is on a node of one instance."""

    generation: int
    state: str
    password: str = ""


class Agents:
    """All nodes' agents. `fate` says how the next call goes, `meanwhile` is what happens before its answer is read."""

    def __init__(self) -> None:
        self.databases: dict[str, Database] = {}
        self.late: list[dict[str, Any]] = []
        self.fate = "succeeds"
        self.meanwhile: Callable[[], None] = lambda: None
        self.calls = 0

    def call(self, _: Any, request: dict[str, Any], **__: Any) -> dict[str, Any]:
        self.calls += 1
        fate, unreachable = self.fate, Unreachable("The node cannot be reached.")
        if fate == "answers too late":
            self.late.append(request)
        elif fate in ("succeeds", "loses the answer"):
            self.carry_out(request)
        self.meanwhile()
        if fate.startswith("refuses"):
            raise AgentError("engine_failed", "The engine does not start.", permanent=fate == "refuses for good")
        if fate != "succeeds":
            raise unreachable
        return {"ok": True}

    def carry_out(self, request: dict[str, Any]) -> None:
        there = self.databases.get(request["instance"])
        generation, removed = request["generation"], there is not None and there.state == "removed"
        if request["verb"] == "apply":
            if there and generation < there.generation + removed:
                raise AgentError("superseded", "A newer generation is there.", permanent=True)
            self.databases[request["instance"]] = Database(generation, "running", request["password"])
        else:
            if there and not removed and generation < there.generation:
                raise AgentError("superseded", "A newer generation is there.", permanent=True)
            self.databases[request["instance"]] = Database(max(generation, there.generation if there else 0), "removed")

    def report(self, ids: set[str]) -> dict[str, Any]:
        items = [
            {"id": id, "generation": there.generation, "state": there.state}
            for id, there in self.databases.items()
            if id in ids and there.state != "removed"
        ]
        return {"engines": {"valkey": "/usr/bin/valkey-server"}, "instances": items}


@dataclass
class Expected:
    """The model of one instance."""

    customer: int
    node: uuid.UUID
    password: str
    since: datetime
    status: str = "pending"
    generation: int = 1
    holds: bool = True
    asked: str | None = "provision"
    deadline: datetime | None = None
    spoilt: bool = False  # the node has lost or stopped it since it was last known to run


@dataclass
class Seen:
    """The model of one node."""

    slots: int
    at: datetime
    health: str = "online"
    reported_at: datetime | None = None
    items: dict[str, dict[str, Any]] = field(default_factory=dict)


# The machine's own time, also for PostgreSQL: before its clock, another of the same name is found.
POSTGRES_CLOCK = """
    CREATE SCHEMA IF NOT EXISTS machine;
    CREATE OR REPLACE FUNCTION machine.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS
        $$ BEGIN RETURN current_setting('machine.now')::timestamptz; END $$;
    SET search_path = machine, pg_catalog, public
"""


class Lifecycle(RuleBasedStateMachine):
    customers: ClassVar[list[uuid.UUID]]
    fleet: ClassVar[list[uuid.UUID]]

    def __init__(self) -> None:
        super().__init__()
        self.agents = Agents()
        self.patches = [
            mock.patch("django.utils.timezone.now", self.clock),
            mock.patch("nodes.transport.call", self.agents.call),
        ]
        for patch in self.patches:
            patch.start()
        self.example = transaction.atomic()
        self.example.__enter__()
        with connection.cursor() as cursor:
            cursor.execute(POSTGRES_CLOCK)
        self.now = BEGIN
        self.nodes = {pk: Seen(room, self.now) for pk, room in zip(self.fleet, ROOM, strict=True)}
        self.instances: dict[uuid.UUID, Expected] = {}

    def teardown(self) -> None:
        try:
            self.every_history_is_legal()
            self.the_checker_finds_nothing()
        finally:
            transaction.set_rollback(True)
            self.example.__exit__(None, None, None)
            for patch in self.patches:
                patch.stop()

    @rule(what=st.sampled_from(STEPS))
    def step(self, what: str) -> None:
        """One rule and not many, since hypothesis would leave out most of them in most examples."""
        getattr(self, what)()

    # --- Customers ----------------------------------------------------------------------------------------------

    @initialize(thrown=st.integers(0, 2**32))
    def begin(self, thrown: int) -> None:
        """One that runs, one that has failed, one that nobody has come to yet.

        Hypothesis chooses the steps, and the dice what is done in each and to which instance: evenly, where hypothesis
        would rather repeat itself.
        """
        self.dice = random.Random(thrown)
        for customer, fate in ((0, "succeeds"), (0, "refuses for good"), (1, None)):
            self.create(customer)
            if fate:
                self.carry_out(self.last_operation(list(self.instances)[-1]), fate)

    def create_another(self) -> None:
        self.create(self.dice.choice([0, 1]))

    def create(self, customer: int) -> None:
        self.tick()
        live = self.live(customer)
        room = {pk for pk, node in self.nodes.items() if node.health == "online" and self.held(pk) < node.slots}
        limit = LIMITS[customer]
        try:
            instance = lifecycle.create(
                account_id=self.customers[customer],
                by=SYSTEM,
                max_databases=limit,
                max_storage_mb=32,
                name="db",
                region=None,
                protocol="redis",
                log_level="info",
            )
        except DatabaseLimitReached:
            assert live >= limit
            return
        except NoNodeAvailable:
            assert not room
            return
        assert live < limit
        assert instance.node_id in room
        self.instances[instance.pk] = Expected(
            customer,
            instance.node_id,
            lifecycle.password(instance),
            self.now,
            deadline=self.now + timedelta(minutes=5),
        )

    def ask(self) -> None:
        self.tick()
        self.asked(self.any_instance(), self.dice.choice(VERBS))

    def asked(self, id: uuid.UUID, verb: str) -> None:
        """What CONTRACT.md says of each verb in each state."""
        model = self.instances[id]
        try:
            instance = lifecycle.get(self.customers[model.customer], id)
            answer = self.say(instance, verb)
        except NotFound:
            assert model.status == "deleted"
            return
        except InvalidTransition:
            assert model.status not in {"restart": {"running", "failed"}, "rotate": {"running"}}[verb]
            return
        assert model.status != "deleted"
        if verb == "restart":
            assert model.status in {"running", "failed"}
            self.change(model, "restarting", "restart")
        elif verb == "rotate":
            assert model.status == "running"
            self.change(model, "restarting", "rotate")
            assert answer != model.password
            model.password = answer
        elif verb == "delete by force" or self.nodes[model.node].health != "online":
            assert answer == ("immediate" if verb == "delete by force" else "fallback")
            self.change(model, "deleted", "deprovision")
        else:
            assert answer == "async"
            if model.status != "deleting":
                self.change(model, "deleting", "deprovision")

    def say(self, instance: Instance, verb: str) -> str:
        if verb == "restart":
            lifecycle.restart(instance, by=SYSTEM)
            return ""
        if verb == "rotate":
            return lifecycle.rotate(instance, by=SYSTEM)
        return lifecycle.delete(instance, by=SYSTEM, force=verb == "delete by force")

    # --- Workers ------------------------------------------------------------------------------------------------

    def work(self) -> None:
        """A message comes, wanted or not."""
        self.tick()
        self.carry_out(self.any_operation(), self.dice.choice(FATES))

    def work_and_be_overtaken(self) -> None:
        """Somebody else is faster than the node's answer."""
        self.tick()
        operation, by = self.any_operation(), self.dice.choice([*VERBS, "another worker"])

        def meanwhile() -> None:
            if by == "another worker":
                Operation.objects.filter(pk=operation.pk).update(lease=uuid.uuid4())
            else:
                self.asked(operation.instance_id, by)

        self.carry_out(operation, self.dice.choice(FATES), meanwhile, stolen=by == "another worker")

    def carry_out(
        self, operation: Operation, fate: str, meanwhile: Callable[[], None] = lambda: None, stolen: bool = False
    ) -> None:
        model = self.instances[operation.instance_id]
        generation, calls = model.generation, self.agents.calls
        leased = operation.leased_until is not None and operation.leased_until >= self.now
        due = operation.finished_at is None and operation.due_at <= self.now and not leased
        online = self.nodes[model.node].health == "online"
        given_up = not online and operation.deadline is not None and operation.deadline <= self.now
        self.agents.fate, self.agents.meanwhile = fate, meanwhile
        provisioning.carry_out(operation.pk)
        tried = self.agents.calls - calls
        assert tried == (due and online), "only what is due and nobody's is tried, once, and not while the node is away"
        if due and given_up:
            self.answered(model, "is not reached")
        elif tried and not stolen and model.generation == generation:
            self.answered(model, fate)

    def answered(self, model: Expected, fate: str) -> None:
        removal = model.asked == "deprovision"
        if fate == "succeeds":
            model.spoilt = False
            if removal:
                model.holds = False
            if model.status != "deleted":
                model.since = self.now
            model.status, model.asked = "deleted" if removal else "running", None
        elif not removal and (fate == "refuses for good" or self.now >= model.deadline):
            model.status, model.asked, model.since = "failed", None, self.now

    def sweep(self) -> None:
        """Whatever message was lost: all that is due is found, and done."""
        self.tick()
        woken: list[uuid.UUID] = []
        with mock.patch("instances.wakeups.wake", woken.append):
            tasks.sweep()
        due = [
            operation
            for operation in Operation.objects.filter(finished_at=None, due_at__lte=self.now).select_related("instance")
            if self.nodes[operation.instance.node_id].health == "online"
            or (operation.deadline is not None and operation.deadline <= self.now)
        ]
        assert set(woken) == {o.pk for o in due if o.leased_until is None or o.leased_until < self.now}
        for operation in Operation.objects.filter(pk__in=woken):
            self.carry_out(operation, "succeeds")

    # --- Nodes and time -----------------------------------------------------------------------------------------

    def time_passes(self) -> None:
        self.now += timedelta(seconds=self.dice.choice([5, 40, 70, 400]))

    def probe(self) -> None:
        self.tick()
        pk, seen = self.dice.choice(list(self.nodes.items()))
        if self.dice.random() < 0.3:
            self.reboot(pk)
        if self.dice.random() < 0.6:
            mine = {str(id) for id, model in self.instances.items() if model.node == pk}
            report = self.agents.report(mine)
            health.seen(Node.objects.get(pk=pk), report, self.now)
            seen.at = seen.reported_at = self.now
            seen.health, seen.items = "online", {item["id"]: item for item in report["instances"]}
        else:
            self.now += timedelta(seconds=self.dice.choice([0, 40, 120]))
            health.missed(Node.objects.get(pk=pk), Unreachable("The node cannot be reached."))
            unseen = (self.now - seen.at).total_seconds()
            seen.health = "offline" if unseen > 90 else "stale" if unseen > 25 else seen.health

    def reboot(self, pk: uuid.UUID) -> None:
        """Everything on the node has stopped."""
        for id, model in self.instances.items():
            if model.node == pk and (there := self.agents.databases.get(str(id))):
                there.state = "stopped" if there.state == "running" else there.state
                model.spoilt = True

    def lose(self) -> None:
        """Somebody has erased the database on the node, or put an old copy in its place."""
        id = self.any_instance()
        if (there := self.agents.databases.get(str(id))) and there.state != "removed":
            self.instances[id].spoilt = True
            if self.dice.random() < 0.5:
                there.generation -= 1
            else:
                del self.agents.databases[str(id)]

    def late_requests_arrive(self) -> None:
        """What a worker gave up waiting for happens after all, and is refused when something newer is there."""
        late, self.agents.late = self.agents.late, []
        for request in late:
            try:
                self.agents.carry_out(request)
            except AgentError:
                assert self.agents.databases[request["instance"]].generation >= request["generation"]

    def compare(self) -> None:
        """What was reported to be otherwise than wanted is applied again, unless it changed after the report began."""
        self.tick()
        reconcile.reconcile()
        for id, model in self.instances.items():
            seen = self.nodes[model.node]
            if model.status != "running" or seen.health != "online" or not seen.reported_at:
                continue
            item = seen.items.get(str(id), {})
            as_wanted = item.get("state") == "running" and item["generation"] == model.generation
            if model.since < seen.reported_at and not as_wanted:
                self.change(model, "restarting", "restart")

    # --- What holds after every step ----------------------------------------------------------------------------

    @invariant()
    def the_database_says_what_the_model_says(self) -> None:
        rows = list(Instance.objects.all())
        open_ones = list(Operation.objects.filter(finished_at=None).values_list("instance_id", "kind"))
        asked = dict(open_ones)
        assert len(asked) == len(open_ones), "one thing is asked at a time"
        assert {row.pk for row in rows} == self.instances.keys()
        for row in rows:
            model = self.instances[row.pk]
            found = (row.status, row.generation, asked.get(row.pk), row.slot is not None)
            assert found == (model.status, model.generation, model.asked, model.holds)
            assert (row.reserved_mb > 0) == model.holds
            assert (row.deleted_at is not None) == (model.status == "deleted")
            assert lifecycle.password(row) == model.password, "the password is the one that was told"
        self.nodes_have_given_away_what_instances_hold([row for row in rows if row.slot is not None])

    def nodes_have_given_away_what_instances_hold(self, rows: list[Instance]) -> None:
        for pk, used, reserved, state in Node.objects.values_list("pk", "slots_used", "reserved_mb", "health"):
            mine = [row for row in rows if row.node_id == pk]
            assert (used, reserved) == (len(mine), sum(row.reserved_mb for row in mine))
            assert len(mine) <= self.nodes[pk].slots
            assert len({row.slot for row in mine}) == len({row.redis_port for row in mine}) == len(mine)
            assert state == self.nodes[pk].health

    @invariant()
    def nothing_is_stuck(self) -> None:
        for model in self.instances.values():
            assert (model.asked is None) == (model.status in ("running", "failed") or not model.holds)

    @invariant()
    def no_limit_is_passed(self) -> None:
        for customer, limit in enumerate(LIMITS):
            assert self.live(customer) <= limit

    @invariant()
    def what_runs_has_its_password_and_what_is_given_back_is_gone(self) -> None:
        for id, model in self.instances.items():
            there = self.agents.databases.get(str(id))
            if not model.holds:
                assert there is None or there.state == "removed"
            elif model.status == "running" and not model.spoilt:
                assert there == Database(model.generation, "running", model.password)

    def every_history_is_legal(self) -> None:
        for id, model in self.instances.items():
            history = list(Event.objects.filter(instance=id).order_by("id").values_list("status", flat=True))
            assert (history[0], history[-1]) == ("pending", model.status)
            for before, after in itertools.pairwise(history):
                assert before == after or before in TRANSITIONS[after], history

    def the_checker_finds_nothing(self) -> None:
        """But for what no worker came to: here, time passes without one."""
        broken = {finding.check for finding in checks.findings() if not finding.suspicious}
        assert broken <= {"operation_ends_in_time"}

    # --- The model's words --------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        return self.now

    @property
    def now(self) -> datetime:
        return self._now

    @now.setter
    def now(self, moment: datetime) -> None:
        self._now = moment
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('machine.now', %s, false)", [moment.isoformat()])

    def tick(self) -> None:
        self.now += timedelta(seconds=1)

    def any_instance(self, asked: bool = False) -> uuid.UUID:
        """More often than not one about which there is something to say."""
        apt = [id for id, m in self.instances.items() if (m.asked if asked else m.status != "deleted")]
        return self.dice.choice(apt if apt and self.dice.random() < 0.85 else list(self.instances))

    def any_operation(self) -> Operation:
        """As often as not it has become due meanwhile."""
        operation = self.last_operation(self.any_instance(asked=True))
        if self.dice.random() < 0.5:
            self.now = max(self.now, operation.due_at)
        return operation

    def last_operation(self, id: uuid.UUID) -> Operation:
        return Operation.objects.filter(instance=id).latest("created_at")

    def live(self, customer: int) -> int:
        return sum(e.customer == customer and e.status != "deleted" for e in self.instances.values())

    def held(self, node: uuid.UUID) -> int:
        return sum(model.holds and model.node == node for model in self.instances.values())

    def change(self, model: Expected, status: str, kind: str) -> None:
        model.status, model.asked, model.since = status, kind, self.now
        model.generation += 1
        model.deadline = self.now + timedelta(minutes=5)


@pytest.mark.django_db
@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize("number", range(8))  # short runs with seeds of their own differ more than a long one does
def test_whatever_happens_in_whatever_order_the_history_is_legal_and_every_promise_is_kept(number):
    Lifecycle.customers = [factories.customer().account.pk for _ in LIMITS]
    nodes = [{"slots": 2}, {"capacity_mb": 3 * 48}]
    Lifecycle.fleet = [factories.node(seen_at=BEGIN, **room).pk for room in nodes]
    run_state_machine_as_test(
        seed(number)(Lifecycle),
        settings=settings(
            max_examples=5,
            stateful_step_count=40,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
