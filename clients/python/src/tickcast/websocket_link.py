"""A connection over WebSocket: the package `websockets`, with the service's codes read out of it."""

import json

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    WebSocketException,
)
from websockets.http11 import Response
from websockets.typing import Subprotocol

from tickcast.codec import codec_for
from tickcast.errors import LinkClosed
from tickcast.link import MESSAGE_BYTES_MAX, LinkOptions
from tickcast.words import Json

QUEUE_FRAMES_MAX = 64
"""Frames that wait to be read. Beyond them the socket is not read, and the service conflates."""

RETRIED_STATUSES = frozenset((408, 425, 429))


class WebSocketLink:
    """An open WebSocket."""

    transport = "websocket"
    is_interactive = True

    def __init__(self, socket: ClientConnection, options: LinkOptions) -> None:
        self._socket = socket
        self._codec = codec_for(options.encoding)
        self.encoding: str = options.encoding
        self.bytes_received = 0

    async def receive(self) -> Json:
        """The next message. Raises LinkClosed at the end, ProtocolFault for what is none."""
        try:
            data = await self._socket.recv()
        except ConnectionClosed as closed:
            raise _ended(closed) from closed
        self.bytes_received += len(data)
        return self._codec.decode(data)

    async def send(self, request: Json) -> None:
        """Sends a request. Raises LinkClosed."""
        try:
            await self._socket.send(self._codec.encode(request))
        except ConnectionClosed as closed:
            raise _ended(closed) from closed

    async def close(self) -> None:
        """Closes in order, within the time that was given when it was opened."""
        await self._socket.close()


async def open_websocket(options: LinkOptions) -> WebSocketLink:
    """Opens a WebSocket. Raises LinkClosed, which says whether something on the way blocks it."""
    codec = codec_for(options.encoding)
    try:
        socket = await connect(
            options.address.websocket,
            subprotocols=[Subprotocol(codec.subprotocol)],
            ssl=options.tls(),
            proxy=options.proxy,
            open_timeout=options.open_timeout_s,
            close_timeout=options.close_timeout_s,
            ping_interval=None,  # The service's heartbeats say more.
            max_size=MESSAGE_BYTES_MAX,
            max_queue=QUEUE_FRAMES_MAX,
        )
    except InvalidStatus as refused:
        raise refusal(refused.response) from refused
    except (InvalidMessage, EOFError) as fault:
        raise LinkClosed(None, f"no handshake: {fault}", blocked=True) from fault
    except TimeoutError as fault:
        text = f"no answer within {options.open_timeout_s:g} s"
        raise LinkClosed(None, text, blocked=True) from fault
    except InvalidHandshake as fault:
        raise LinkClosed(None, f"no handshake: {fault}", blocked=True) from fault
    except (OSError, WebSocketException) as fault:
        raise LinkClosed(None, str(fault) or type(fault).__name__) from fault
    if socket.subprotocol != codec.subprotocol:
        await socket.close()
        raise LinkClosed(4400, f"the service does not speak {codec.subprotocol}")
    return WebSocketLink(socket, options)


def refusal(response: Response) -> LinkClosed:
    """What an HTTP answer in place of a handshake says. Only the service's own words are final:
    something on the way may answer anything."""
    status = response.status_code
    code, error = 4000 + status, f"HTTP {status}"
    is_ours = False
    try:
        body = json.loads(response.body or b"")
        code, error, is_ours = int(body["code"]), str(body["error"]), True
    except (ValueError, LookupError, TypeError):
        pass
    if not is_ours or status in RETRIED_STATUSES:
        code = 4503 if code < 4500 and status != 401 else code
    retry_after_s = None
    after = response.headers.get("Retry-After", "")
    if after.isdecimal():
        retry_after_s = float(after)
    return LinkClosed(code, error, retry_after_s=retry_after_s, blocked=not is_ours)


def _ended(closed: ConnectionClosed) -> LinkClosed:
    if closed.rcvd is not None:
        return LinkClosed(closed.rcvd.code, closed.rcvd.reason)
    return LinkClosed(None, "the connection was lost")
