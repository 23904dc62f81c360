"""What a request may hold. Nothing of it is trusted before it has passed here."""

from .errors import Refusal

HEX = frozenset("0123456789abcdef-")
PORTS = ("redis", "memcached", "http")
# Which ports a protocol cannot do without, and which it may have.
PROTOCOLS = {
    "redis": (("redis",), ("http",)),
    "memcached": (("memcached",), ()),
    "both": (("redis", "memcached"), ("http",)),
}
LOG_LEVELS = ("debug", "info", "warning", "error")
MAX_GENERATION = 2**53
MAX_STORAGE_MB = 2**20
MAX_PASSWORD = 512


def bad(message: str) -> Refusal:
    return Refusal("bad_request", message, retry=False)


def instance_id(request: dict[str, object]) -> str:
    """The id in the one spelling of a UUID that names a directory: nothing else ever becomes a path."""
    value = text(request, "instance", 36)
    if not set(value) <= HEX or [len(part) for part in value.split("-")] != [8, 4, 4, 4, 12]:
        raise bad("`instance` must be a UUID in lower case.")
    return value


def integer(request: dict[str, object], name: str, low: int, high: int) -> int:
    value = request.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise bad(f"`{name}` must be a whole number from {low} to {high}.")
    return value


def text(request: dict[str, object], name: str, longest: int) -> str:
    value = request.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= longest or not value.isprintable():
        raise bad(f"`{name}` must be text of 1 to {longest} printable characters.")
    return value


def choice(request: dict[str, object], name: str, choices: "tuple[str, ...]") -> str:
    value = request.get(name)
    if not isinstance(value, str) or value not in choices:
        raise bad(f"`{name}` must be one of {', '.join(choices)}.")
    return value


def ports(request: dict[str, object], protocol: str) -> dict[str, int | None]:
    given = request.get("ports")
    if not isinstance(given, dict) or not set(given) <= set(PORTS):
        raise bad(f"`ports` must be an object with {', '.join(PORTS)}.")
    found = {name: None if given.get(name) is None else integer(given, name, 1024, 65535) for name in PORTS}
    used = [port for port in found.values() if port is not None]
    if len(used) != len(set(used)):
        raise bad("`ports` must differ from each other.")
    needed, possible = PROTOCOLS[protocol]
    for name, port in found.items():
        if port is None and name in needed:
            raise bad(f"The protocol {protocol} needs the port `{name}`.")
        if port is not None and name not in needed + possible:
            raise bad(f"The protocol {protocol} has no port `{name}`.")
    return found


class Wanted:
    """The whole desired state of an instance, as `apply` is told it."""

    def __init__(self, request: dict[str, object]) -> None:
        self.instance = instance_id(request)
        self.generation = integer(request, "generation", 1, MAX_GENERATION)
        self.protocol = choice(request, "protocol", tuple(PROTOCOLS))
        self.ports = ports(request, self.protocol)
        self.storage_mb = integer(request, "storage_mb", 1, MAX_STORAGE_MB)
        self.log_level = choice(request, "log_level", LOG_LEVELS)
        self.password = text(request, "password", MAX_PASSWORD)
        self.previous_password: str | None = None
        # The same password again is no rotation: there is no old one to be refused.
        if request.get("previous_password") not in (None, self.password):
            self.previous_password = text(request, "previous_password", MAX_PASSWORD)
