"""A proxy between a client and the real service that drops, doubles, changes and withholds
messages, closes with any code, and blocks WebSockets."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

import websockets
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from tickcast.protobuf import ProtobufCodec

SUBPROTOCOLS = ("tickcast.v1.json", "tickcast.v1.protobuf")
Message = dict[str, Any]
Fault = Callable[[Message], list[Message]]


class FaultProxy:
    """Messages from the service go through `fault`, which gives what to send in their place. Of
    the binary encoding they can be dropped and doubled, not changed."""

    def __init__(self, service_url: str, subprotocols: tuple[str, ...] = SUBPROTOCOLS) -> None:
        self.service_url = service_url
        self.subprotocols = [Subprotocol(name) for name in subprotocols]
        self.fault: Fault = lambda message: [message]
        self.is_silent = False
        self.requests: list[Message] = []
        self.opened = 0
        self._connections: set[ServerConnection] = set()
        self._refusal: tuple[int, str] | None = None

    async def __aenter__(self) -> Self:
        self._server = await websockets.serve(
            self._serve,
            "127.0.0.1",
            0,
            subprotocols=self.subprotocols,
            process_request=self._process,
            compression=None,
            close_timeout=1,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ws://127.0.0.1:{self.port}"

    def refuse(self, status: int, body: str) -> None:
        """From now on answers handshakes so."""
        self._refusal = (status, body)

    def accept(self) -> None:
        """From now on accepts handshakes again."""
        self._refusal = None

    def cut(self) -> None:
        """Ends every connection without a word."""
        for connection in self._connections:
            connection.transport.abort()

    async def close(self, code: int, reason: str) -> None:
        """Closes every connection with a code."""
        for connection in list(self._connections):
            await connection.close(code, reason)

    async def send(self, message: Message) -> None:
        """Says something in the service's name."""
        for connection in list(self._connections):
            await connection.send(json.dumps(message))

    def asked(self, method: str) -> list[Message]:
        """The requests of a method that came."""
        return [request for request in self.requests if request["method"] == method]

    def _process(self, connection: ServerConnection, request: Request) -> Response | None:
        if self._refusal is None:
            return None
        status, body = self._refusal
        response = connection.respond(status, body)
        return response

    async def _serve(self, client: ServerConnection) -> None:
        self.opened += 1
        url = f"{self.service_url}/v1/ws"
        try:
            spoken = [client.subprotocol] if client.subprotocol else None
            async with websockets.connect(
                url, proxy=None, max_size=None, subprotocols=spoken, close_timeout=1
            ) as upstream:
                self._connections.add(client)
                down = asyncio.create_task(self._down(client, upstream))
                try:
                    async for text in client:
                        if isinstance(text, str):
                            self.requests.append(json.loads(text))
                        await upstream.send(text)
                finally:
                    # The service may take long to say goodbye; nothing can be said here any more.
                    self._connections.discard(client)
                    down.cancel()
                    await asyncio.gather(down, return_exceptions=True)
        except (OSError, websockets.WebSocketException):
            client.transport.abort()
        finally:
            self._connections.discard(client)

    async def _down(self, client: ServerConnection, upstream: websockets.ClientConnection) -> None:
        codec = ProtobufCodec()
        try:
            async for data in upstream:
                binary = isinstance(data, bytes)
                for message in self.fault(codec.decode(data) if binary else json.loads(data)):
                    if not self.is_silent:
                        await client.send(data if binary else json.dumps(message))
            await client.close(upstream.close_code or 1011, upstream.close_reason or "")
        except websockets.ConnectionClosed:
            client.transport.abort()


class Blockade:
    """Something on the way that lets plain HTTP through and refuses what wants to be upgraded; or,
    where it is mute, lets it be upgraded and nothing more through."""

    def __init__(self, host: str, port: int, *, is_mute: bool = False) -> None:
        self._upstream = (host, port)
        self._is_mute = is_mute
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            is_upgrade = b"upgrade: websocket" in head.lower()
            if is_upgrade and not self._is_mute:
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nblocked")
                return
            upstream, into = await asyncio.open_connection(*self._upstream)
            try:
                into.write(head)
                if is_upgrade:
                    writer.write(await upstream.readuntil(b"\r\n\r\n"))
                    await reader.read()
                    return
                while part := await upstream.read(65536):
                    writer.write(part)
                    await writer.drain()
            finally:
                into.close()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
