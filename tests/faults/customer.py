"""A customer who works all the time, believes every answer of ours, and remembers what was promised."""

import random
import threading
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

DATABASES = 3
PAUSE = 0.15  # seconds between what a customer does
UNSURE = (httpx.TransportError,)


@dataclass
class Database:
    """What its owner knows of it. `gone`: a deletion was answered with 2xx. `leaving`: one was sent."""

    id: str
    keys: dict[str, str] = field(default_factory=dict)
    leaving: bool = False
    gone: bool = False
    old_password: str = ""


class Customer(threading.Thread):
    """Works until `done` is set."""

    def __init__(self, http: httpx.Client, seed: int) -> None:
        super().__init__(name=f"customer {seed}", daemon=True)
        self.databases: list[Database] = []
        self.done = threading.Event()
        self.answers: Counter[str] = Counter()
        self.sent, self.answered = 0, 0  # requests of those that count for the quota
        self.refused: list[str] = []
        self._http = http
        self._key = str(uuid.uuid4())
        self._random = random.Random(seed)

    def run(self) -> None:
        while not self.done.is_set():
            act = self._random.choices(
                [self.create, self.write, self.restart, self.rotate, self.delete], [30, 150, 10, 10, 6]
            )[0]
            try:
                act()
            except Exception as error:
                self.refused.append(f"what no customer expects: {error!r}")
            self.done.wait(PAUSE)

    # --- What customers do ------------------------------------------------------------------------------------

    def create(self) -> None:
        """With an idempotency key, again until there is an answer."""
        if len(self.live()) >= DATABASES:
            return
        self._key = str(uuid.uuid4())
        while not self.create_once() and not self.done.is_set():
            self.done.wait(0.2)

    def create_once(self) -> bool:
        """Whether there is an answer to the create with this customer's current key."""
        headers = {"Idempotency-Key": self._key}
        answer = self.ask("POST", "/instances", json={"name": "under fire"}, headers=headers)
        if answer is None or answer.status_code != 201:
            return False
        self.databases.append(Database(answer.json()["id"]))
        return True

    def status(self, database: Database) -> str:
        answer = self.ask("GET", f"/instances/{database.id}")
        return str(answer.json()["status"]) if answer is not None and answer.status_code == 200 else ""

    def write(self) -> None:
        if not (database := self.any()) or not (client := self.connect(database)):
            return
        pairs = {f"key:{uuid.uuid4()}": str(self._random.random()) for _ in range(10)}
        with suppress(redis.RedisError, OSError), client:
            client.mset(pairs)
            database.keys |= pairs

    def restart(self) -> None:
        if database := self.any():
            self.ask("POST", f"/instances/{database.id}/restart")

    def rotate(self) -> None:
        if database := self.any():
            before = self.credentials(database)
            answer = self.ask("POST", f"/instances/{database.id}/credentials/rotate")
            if before and answer is not None and answer.status_code == 202:
                database.old_password = before["password"]

    def delete(self) -> None:
        if not (database := self.any()):
            return
        database.leaving = True
        answer = self.ask(
            "DELETE", f"/instances/{database.id}", params={"force": self._random.choice(["true", "false"])}
        )
        database.gone = answer is not None and answer.status_code in (200, 202)

    # --- How -----------------------------------------------------------------------------------------------

    def live(self) -> list[Database]:
        return [database for database in self.databases if not database.leaving]

    def any(self) -> Database | None:
        return self._random.choice(live) if (live := self.live()) else None

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """None when nobody knows what came of it."""
        counts = "/credentials" not in path
        self.sent += counts
        try:
            answer = self._http.request(method, path, **options)
        except UNSURE:
            self.answers["none"] += 1
            return None
        self.answers[str(answer.status_code)] += 1
        self.answered += counts and answer.status_code != 503
        if answer.status_code >= 500 and answer.status_code != 503:
            self.refused.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer

    def credentials(self, database: Database) -> dict[str, Any] | None:
        answer = self.ask("POST", f"/instances/{database.id}/credentials/reveal")
        return dict(answer.json()) if answer is not None and answer.status_code == 200 else None

    def connect(self, database: Database, password: str = "") -> "redis.Redis | None":
        if not (found := self.credentials(database)):
            return None
        return redis.Redis(
            host=found["host"],
            port=found["redis_port"],
            password=password or found["password"],
            decode_responses=True,
            socket_timeout=5,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 0),
        )
