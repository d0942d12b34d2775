"""One connection to the service, whatever carries it: messages in, requests out."""

import ssl as tls_module
from dataclasses import dataclass
from typing import Protocol

from tickcast.address import Address
from tickcast.codec import Encoding
from tickcast.words import Json

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""The longest message that is taken; the longest that a service sends is a snapshot."""


class Link(Protocol):
    """An open connection."""

    transport: str
    """`websocket` or `sse`."""
    encoding: str
    is_interactive: bool
    """Whether it begins with a welcome, and takes requests other than subscriptions."""
    bytes_received: int

    async def receive(self) -> Json:
        """The next message. Raises LinkClosed at the end, ProtocolFault for what is none."""
        ...

    async def send(self, request: Json) -> None:
        """Sends a request. Raises LinkClosed."""

    async def close(self) -> None:
        """Closes in order, within a bounded time."""


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """How to open connections."""

    address: Address
    encoding: Encoding = "json"
    ssl: tls_module.SSLContext | None = None
    proxy: str | None = None
    open_timeout_s: float = 10.0
    close_timeout_s: float = 2.0

    def tls(self) -> tls_module.SSLContext | None:
        """What to speak TLS with; None where it is not spoken."""
        if not self.address.is_secure:
            return None
        return self.ssl or tls_module.create_default_context()
