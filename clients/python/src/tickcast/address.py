"""The addresses of a service, made of the one that the user gives."""

from dataclasses import dataclass
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443}
SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service is."""

    scheme: str
    """`http` or `https`."""
    host: str
    port: int
    path: str
    """What stands before `/v1/…`, without a slash at its end."""

    @property
    def is_secure(self) -> bool:
        """Whether to speak TLS."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """The header `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def websocket(self) -> str:
        """The address of the WebSocket."""
        return f"{'wss' if self.is_secure else 'ws'}://{self.authority}{self.path}/v1/ws"


def address(url: str) -> Address:
    """Reads ws://, wss://, http:// or https://, with or without `/v1/ws` at the end.

    Raises ValueError that names what is wrong.
    """
    parts = urlsplit(url)
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None:
        raise ValueError(f"url: {url!r} begins with none of ws://, wss://, http://, https://")
    if not parts.hostname:
        raise ValueError(f"url: {url!r} names no host")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"url: {url!r} has more than a scheme, a host, a port and a path")
    try:
        port = parts.port or PORTS[scheme]
    except ValueError as error:
        raise ValueError(f"url: {url!r}: {error}") from None
    path = parts.path.rstrip("/").removesuffix("/v1/ws").rstrip("/")
    return Address(scheme, parts.hostname, port, path)
