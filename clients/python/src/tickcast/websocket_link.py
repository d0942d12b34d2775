"""A connection over WebSocket: the package `websockets`, and the service's codes read from it."""

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    WebSocketException,
)
from websockets.typing import Subprotocol

from tickcast.codec import codec_for
from tickcast.errors import LinkClosed
from tickcast.link import MESSAGE_BYTES_MAX, LinkOptions
from tickcast.refusal import refusal
from tickcast.words import Json

QUEUE_FRAMES_MAX = 64
"""Frames that wait to be read. Beyond them the socket is not read, and the service conflates."""


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
        response = refused.response
        after = response.headers.get("Retry-After", "")
        raise refusal(response.status_code, after, bytes(response.body or b"")) from refused
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


def _ended(closed: ConnectionClosed) -> LinkClosed:
    if closed.rcvd is not None:
        return LinkClosed(closed.rcvd.code, closed.rcvd.reason)
    return LinkClosed(None, "the connection was lost")
