"""Where webhooks may go: hosts that the operator has listed, at addresses that are the public's.

A name is looked up once, each of its addresses is checked, and the connection is made to a checked one: a name that points
elsewhere a moment later (DNS rebinding) is of no use. Which addresses are public is IANA's to say:
https://www.iana.org/assignments/iana-ipv4-special-registry and …/iana-ipv6-special-registry.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from llmx.serve.problems import Problem

__all__ = ["Target", "check_webhook", "is_public", "target_of"]

_GLOBAL = ipaddress.ip_network("2000::/3")  # RFC 4291 2.4: of IPv6 nothing else is given out to anybody
_CARRIER = ipaddress.ip_network("100.64.0.0/10")  # RFC 6598


class Target(Struct, frozen=True):
    """A webhook's URL taken apart."""

    scheme: str
    host: str
    port: int
    path: str


def is_public(address: str) -> bool:
    """Whether an IP address is anybody's: not of a private network, this machine, a link, a carrier, or a group.

    Addresses of IPv6 that stand for ones of IPv4 are not, whatever they stand for: no server needs them.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip not in _GLOBAL:
            return False
    elif ip in _CARRIER:
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def target_of(url: str) -> Target:
    """The parts of a URL. Raises ValueError: it is none that a webhook may have."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("it has characters that a URL has not")
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http"):
        raise ValueError("it is not https")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("it has a user, a password or a fragment")
    host = (parts.hostname or "").rstrip(".")
    if not host or not 0 < (parts.port or 443) < 65_536:
        raise ValueError("it has no host")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Target(parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def check_webhook(url: str, allowed: Sequence[str], *, private: bool) -> Target:
    """The parts of a webhook's URL.

    Args:
        allowed: hosts that may be told, see `ServeSettings.webhook_hosts`.
        private: plain http and private addresses are allowed.

    Raises:
        Problem: it may not be told.
    """
    try:
        target = target_of(url)
    except ValueError as error:
        raise Problem(422, "webhook_refused", f"the webhook cannot be used: {error}") from None
    if target.scheme != "https" and not private:
        raise Problem(422, "webhook_refused", "the webhook is not https")
    if not any(_fits(target, host.lower()) for host in allowed):
        hint = "the operator lists hosts under webhook-hosts of [serve]"
        raise Problem(422, "webhook_refused", f"the host {target.host[:100]!r} is not on the list", hint=hint)
    if not private and _is_address(target.host) and not is_public(target.host):
        raise Problem(422, "webhook_refused", "the webhook's address is not a public one")
    return target


def _fits(target: Target, allowed: str) -> bool:
    """Whether a host of the list, "HOST", "HOST:PORT" or "*.HOST", is the target's; without a port, the scheme's own."""
    host, colon, port = allowed.rpartition(":") if not allowed.endswith("]") else (allowed, "", "")
    if not colon or not port.isdigit():
        host, port = allowed, ""
    own = 443 if target.scheme == "https" else 80
    if target.port != (int(port) if port else own):
        return False
    if host.startswith("*."):
        return target.host.endswith(host[1:]) and target.host != host[2:]
    return target.host == host.strip("[]")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
