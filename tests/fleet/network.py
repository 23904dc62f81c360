"""A network of the nodes' own: one bridge, one namespace per node, and no way out."""

import fcntl
import ipaddress
import json
from pathlib import Path
from typing import IO

from tests.fleet.commands import attempt, run

LOCKS = Path("/run/basekv-fleet")
NUMBERS = range(1, 250)


class Network:
    """10.213.N.0/24, with the N that no other run holds. The lock ends with the process, so what a killed run left
    behind under the same number is found here and cleared away by `Fleet`."""

    def __init__(self) -> None:
        LOCKS.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.number, self._lock = self._take_number()
        self.name = f"bkvfleet{self.number}"
        self._bridge = self.name

    def _take_number(self) -> tuple[int, IO[str]]:
        taken = [ipaddress.ip_network(route["dst"]) for route in routes() if route["dst"] != "default"]
        for number in NUMBERS:
            lock = (LOCKS / str(number)).open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            ours = ipaddress.ip_network(f"10.213.{number}.0/24")
            if (LOCKS / f"{number}.up").exists() or not any(ours.overlaps(other) for other in taken):
                return number, lock
            lock.close()
        raise RuntimeError("There is no free network for nodes.")

    def address(self, index: int) -> str:
        return f"10.213.{self.number}.{10 + index}"

    def namespace(self, index: int) -> str:
        return f"{self.name}-{index}"

    def port(self, index: int) -> str:
        """The node's end at the bridge; the other one is its eth0."""
        return f"bkv{self.number}p{index}"

    def up(self) -> None:
        (LOCKS / f"{self.number}.up").touch()
        run("ip", "link", "add", self._bridge, "type", "bridge")
        run("ip", "address", "add", f"10.213.{self.number}.1/24", "dev", self._bridge)
        run("ip", "link", "set", self._bridge, "up")

    def down(self) -> None:
        for namespace in json.loads(run("ip", "-json", "netns", "list") or "[]"):
            if namespace["name"].startswith(f"{self.name}-"):
                run("ip", "netns", "delete", namespace["name"])
        for link in json.loads(run("ip", "-json", "link", "show") or "[]"):
            if link["ifname"].startswith(f"bkv{self.number}p"):
                attempt("ip", "link", "delete", link["ifname"])  # it may be going with its namespace
        if Path(f"/sys/class/net/{self._bridge}").exists():
            run("ip", "link", "delete", self._bridge)
        (LOCKS / f"{self.number}.up").unlink(missing_ok=True)

    def plug_in(self, index: int) -> None:
        namespace, port = self.namespace(index), self.port(index)
        run("ip", "netns", "add", namespace)
        run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        run("ip", "link", "set", port, "master", self._bridge, "up")
        run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", namespace, "address", "add", f"{self.address(index)}/24", "dev", "eth0")
        run("ip", "-n", namespace, "link", "set", "eth0", "up")
        # A partitioned node is to be a black hole, as behind a router, not a host that ARP says is not there.
        [eth0] = json.loads(run("ip", "-json", "-n", namespace, "link", "show", "eth0"))
        neighbour = ["ip", "neighbour", "replace", self.address(index), "lladdr", eth0["address"]]
        run(*neighbour, "dev", self._bridge, "nud", "permanent")

    def partition(self, index: int) -> None:
        run("bridge", "link", "set", "dev", self.port(index), "state", "0")

    def heal(self, index: int) -> None:
        run("bridge", "link", "set", "dev", self.port(index), "state", "3")


def routes() -> list[dict[str, str]]:
    return list(json.loads(run("ip", "-json", "-4", "route", "show") or "[]"))
