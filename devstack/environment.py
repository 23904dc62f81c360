"""What the stack's programs are told, and what its users are: one set of variables, the ones that production has."""

import base64
import os
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from devstack import keys, ports
from devstack.state import State

OPERATOR = "admin@basekv.local"


def settings(state: State, *, database_url: str, redis_url: str) -> dict[str, str]:
    """All that `manage.py` needs."""
    return {
        "DJANGO_SETTINGS_MODULE": "basekv.settings",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "BASEKV_SECRET_KEY": state.secret("django"),
        "BASEKV_ENCRYPTION_KEYS": state.kept("secrets/fernet", fernet_key),
        "BASEKV_SSH_KEY": ssh_key(state),
        "BASEKV_STATIC_ROOT": str(state.root / "static"),
    }


def users(state: State, port: int) -> dict[str, str]:
    """All that a customer and an operator need."""
    return {
        "BASEKV_URL": url(port),
        "BASEKV_TOKEN": state.token() or "",
        "BASEKV_ADMIN_URL": f"{url(port)}/admin/",
        "BASEKV_ADMIN_EMAIL": OPERATOR,
        "BASEKV_ADMIN_PASSWORD": state.secret("operator"),
    }


def url(port: int) -> str:
    return f"http://{ports.HOST}:{port}"


def without_ssh_key(settings: Mapping[str, str]) -> dict[str, str]:
    """For the web process, which never opens SSH."""
    return {name: value for name, value in settings.items() if name != "BASEKV_SSH_KEY"}


def elsewhere(name: str, own: str) -> str | None:
    """The address in our environment, unless it is our own: a shell that sourced `env` of an earlier start has it."""
    given = os.environ.get(name)
    return given if given and urlsplit(given).password != urlsplit(own).password else None


def fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def ssh_key(state: State) -> str:
    private = state.kept(state.ssh_key.name, keys.make_private)
    state.keep(f"{state.ssh_key.name}.pub", keys.public(private) + "\n")
    return str(state.ssh_key)
