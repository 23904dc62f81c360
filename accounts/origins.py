"""Where a request came from."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol

from django.conf import settings

# Written by basekv.requests.RequestIdMiddleware.
REQUEST_ID = "basekv.request_id"


class HasMeta(Protocol):
    """Django's request, and DRF's."""

    @property
    def META(self) -> dict[str, str]: ...  # noqa: N802


def request_id(request: HasMeta) -> str:
    return request.META.get(REQUEST_ID, "")


def address(request: HasMeta) -> str | None:
    """The client's address: the peer's or, where the peer is a proxy of ours (BASEKV_TRUSTED_PROXIES), the nearest one
    in X-Forwarded-For that is none. What stands before that one, the client may have written. None: a Unix socket."""
    nearest = parsed(request.META.get("REMOTE_ADDR", ""))
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    while nearest is not None and trusted(nearest) and hops:
        further = parsed(hops.pop())
        if further is None:
            break
        nearest = further
    return str(nearest) if nearest else None


def trusted(hop: IPv4Address | IPv6Address) -> bool:
    return any(hop in network for network in settings.BASEKV_TRUSTED_PROXIES)


def parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.strip())
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
