"""Where a webhook may lead: never into the networks that only this machine can reach, unless a setting lists them.

Rules:
- HTTPS; plain HTTP to loopback only; no user, no password, no fragment in the address;
- the name is resolved at every call, every address that it has must be allowed, and the call goes to the address that was
  looked at, so that a name which answers otherwise a moment later leads nowhere else;
- private, link-local, loopback, multicast, reserved and unspecified addresses are refused, also when they are wrapped in IPv6
  (mapped, 6to4, Teredo, NAT64), unless PRESSMARK_WEBHOOK_NETWORKS lists them.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from registry.errors import Invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
URL_LIMIT_CHARACTERS = 500
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    # what the standard library (or some release of it) calls global: protocol assignments and services inside of clouds, relays
    # of 6to4, the old site-local addresses, documentation
    for text in ("192.0.0.0/24", "168.63.129.16/32", "192.88.99.0/24", "fec0::/10", "3fff::/20")
)
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_HINT = "Give an address like https://hooks.example.org/pressmark."
_PORTS = {"https": 443, "http": 80}


class NotAllowed(Exception):
    """The address leads to where no webhook may lead, or nowhere; the message is a sentence of ours.

    It names no host: /health, which everybody may read, says why notices were given up.
    """


@dataclass(frozen=True)
class Place:
    """What a URL says."""

    scheme: str
    host: str
    port: int
    target: str


@dataclass(frozen=True)
class Destination:
    """A place with the one address that the call goes to."""

    place: Place
    address: str


def place_of(url: str) -> Place:
    """Read a URL. Raises Invalid when no webhook can have it."""
    if not (url.isascii() and url.isprintable() and " " not in url and 0 < len(url) <= URL_LIMIT_CHARACTERS):
        raise Invalid(f"The address has to be 1 to {URL_LIMIT_CHARACTERS} plain characters.", hint=_HINT)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Invalid("The address cannot be read.", hint=_HINT) from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise Invalid("A webhook needs an address that begins with https:// and names a host.", hint=_HINT)
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Invalid("The address of a webhook holds no user, password or fragment.", hint=_HINT)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Place(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], target)


def check(url: str) -> Place:
    """What can be said about a URL without asking for its name: for whoever sets a webhook up. Raises Invalid."""
    place = place_of(url)
    literal = _literal(place.host)
    if place.scheme == "http" and not (place.host == "localhost" or (literal and literal.is_loopback)):
        raise Invalid("Plain http is for this machine only.", hint="Use https.")
    if literal is not None and not _allowed(literal):
        raise Invalid(
            f"{place.host} is not a public address.",
            hint="Whoever operates this installation can list its network in PRESSMARK_WEBHOOK_NETWORKS.",
            code="address-not-allowed",
        )
    return place


def resolve(url: str) -> Destination:
    """The address to call now. Raises NotAllowed."""
    place = place_of(url)
    try:
        answers = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotAllowed("the name in the address of the webhook is not known") from None
    found = [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]
    for address in found:
        if not _allowed(address):
            raise NotAllowed("the name leads to an address that is not public and not in PRESSMARK_WEBHOOK_NETWORKS")
        if place.scheme == "http" and not address.is_loopback:
            raise NotAllowed("the name is not this machine's, and plain http goes nowhere else")
    return Destination(place, str(found[0]))


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _allowed(address: Address) -> bool:
    if any(address in network for network in settings.PRESSMARK_WEBHOOK_NETWORKS):
        return True
    return all(_public(inner) for inner in [address, *_wrapped(address)])


def _public(address: Address) -> bool:
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _wrapped(address: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or address in _NAT64_LOCAL:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in found if inner is not None]
