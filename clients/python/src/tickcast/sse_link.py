"""A connection over server-sent events, for where WebSockets are blocked.

An event stream serves one subscribe request, so this link is a bundle of streams that stands and
falls together: when one ends they all do, and the client comes back as after any other loss. To
ask again is to open the stream of that request anew.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from urllib.parse import urlencode

from tickcast import http1
from tickcast.errors import LinkClosed, ProtocolFault
from tickcast.link import LinkOptions
from tickcast.words import Json, StreamKey

TARGET_BYTES_MAX = 4 * 1024
"""How long the names of one stream's address may be; a service reads heads of 8 KiB."""

QUEUE_MESSAGES_MAX = 64
"""Messages that wait to be taken. Beyond them the sockets are not read, and the service
conflates."""

STREAMS_MAX = 256
SILENT_HEARTBEATS = 3

REFUSALS = frozenset((4400, 4403, 4404, 4413))
"""Answers that concern what was asked for; any other ends the link."""


class SseLink:
    """A bundle of event streams."""

    transport = "sse"
    encoding = "json"
    is_interactive = False

    def __init__(self, options: LinkOptions, token: str | None) -> None:
        self._options = options
        self._token = token
        self._queue: asyncio.Queue[Json | Exception] = asyncio.Queue(QUEUE_MESSAGES_MAX)
        self._streams: dict[tuple[StreamKey, str], _Stream] = {}
        self._greeted = False
        self.bytes_received = 0

    async def receive(self) -> Json:
        """The next message of any stream."""
        message = await self._queue.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def send(self, request: Json) -> None:
        """Opens, or closes, the streams of a request."""
        params = request["params"]
        key = StreamKey(params["channel"], params.get("interval", ""))
        if request["method"] == "unsubscribe":
            await self._leave(key, params["symbol"])
        elif request["method"] == "subscribe":
            wanted = self._with_neighbours(key, params)
            await self._leave(key, wanted)
            merged = _Merged(request["req_id"])
            for symbols in _parts(wanted):
                if len(set(self._streams.values())) >= STREAMS_MAX:
                    raise LinkClosed(4413, f"more than {STREAMS_MAX} event streams")
                merged.open += 1
                self._open(key, {**params, "symbol": symbols}, merged)

    async def close(self) -> None:
        """Ends all streams."""
        streams = [stream.task for stream in self._streams.values()]
        self._streams.clear()
        for task in streams:
            task.cancel()
        await asyncio.gather(*streams, return_exceptions=True)

    def _with_neighbours(self, key: StreamKey, params: Json) -> list[str]:
        """What is asked for, and what shares its streams with the same options: a stream that has
        to be opened anew stays whole."""
        options = _options(params)
        names = dict.fromkeys(params["symbol"])
        for stream in self._touched(key, params["symbol"]):
            if _options(stream.params) == options:
                names.update(dict.fromkeys(stream.params["symbol"]))
        return list(names)

    def _touched(self, key: StreamKey, symbols: list[str]) -> "list[_Stream]":
        found = (self._streams.get((key, symbol)) for symbol in symbols)
        return list(dict.fromkeys(stream for stream in found if stream is not None))

    async def _leave(self, key: StreamKey, symbols: list[str]) -> None:
        """Ends the streams that have one of these; what else was in them is opened again."""
        gone = set(symbols)
        touched = self._touched(key, symbols)
        for stream in touched:
            stream.task.cancel()
            for symbol in stream.params["symbol"]:
                self._streams.pop((key, symbol), None)
        await asyncio.gather(*(stream.task for stream in touched), return_exceptions=True)
        for stream in touched:
            rest = [symbol for symbol in stream.params["symbol"] if symbol not in gone]
            if rest:
                merged = _Merged(None, open=1)
                self._open(key, {**stream.params, "symbol": rest}, merged)

    def _open(self, key: StreamKey, params: Json, merged: "_Merged") -> None:
        stream = _Stream(params, merged)
        stream.task = asyncio.create_task(self._run(stream))
        for symbol in params["symbol"]:
            self._streams[key, symbol] = stream

    async def _run(self, stream: "_Stream") -> None:
        try:
            while True:
                try:
                    async for event, message in self._events(stream.params):
                        await self._hear(event, message, stream.merged)
                    raise LinkClosed(1001, "the event stream has ended")
                except LinkClosed as fault:
                    # A subscription that is refused is no end of the connection.
                    if fault.code not in REFUSALS or not await self._refused(stream, fault):
                        raise
                    if not stream.params["symbol"]:
                        return
        except (LinkClosed, ProtocolFault) as fault:
            await self._queue.put(fault)

    async def _refused(self, stream: "_Stream", fault: LinkClosed) -> bool:
        """Leaves out the name that the refusal quotes, or gives the whole stream up."""
        symbols: list[str] = stream.params["symbol"]
        named = [symbol for symbol in symbols if f'"{symbol}"' in fault.reason] or symbols
        failed = [{"symbol": symbol, "code": fault.code, "error": fault.reason} for symbol in named]
        rest = [symbol for symbol in symbols if symbol not in named]
        stream.params = {**stream.params, "symbol": rest}
        if rest:
            stream.merged.failed += failed
            return True
        result = {**stream.params, "failed": failed}
        answer = stream.merged.add({"result": result})
        if answer is not None:
            await self._queue.put(answer)
        return True

    async def _events(self, params: Json) -> AsyncGenerator[tuple[str, Json], None]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        since = params.get("since") or {}
        symbols: list[str] = params["symbol"]
        if len(symbols) == 1 and symbols[0] in since and since[symbols[0]]["seq"]:
            place = since[symbols[0]]
            headers["Last-Event-ID"] = f"{place['epoch']}-{place['seq']}"
        silence_s = self._options.open_timeout_s
        response = await http1.get(self._options, f"/v1/sse?{query(params)}", headers)
        try:
            if response.status != 200:
                raise await response.refusal()
            parser = EventParser()
            parts = aiter(response.parts())
            while True:
                async with asyncio.timeout(silence_s):
                    part = await anext(parts, None)
                if part is None:
                    return
                self.bytes_received += len(part)
                for event, message in parser.feed(part):
                    if message.get("type") == "welcome":
                        silence_s = SILENT_HEARTBEATS * message["data"][0]["heartbeat_ms"] / 1000
                    yield event, message
        except TimeoutError as fault:
            raise LinkClosed(None, f"nothing came for {silence_s:g} s") from fault
        except (LookupError, TypeError, ValueError) as fault:
            raise ProtocolFault(f"an event cannot be read: {fault!r}") from fault
        finally:
            response.close()

    async def _hear(self, event: str, message: Json, merged: "_Merged") -> None:
        if event == "error" or message.get("success") is False:
            raise LinkClosed(message.get("code", 4500), message.get("error", "an error event"))
        if message.get("method") == "subscribe":
            answer = merged.add(message)
            if answer is not None:
                await self._queue.put(answer)
        elif message.get("type") == "welcome" and self._greeted:
            return
        else:
            self._greeted = self._greeted or message.get("type") == "welcome"
            await self._queue.put(message)


class _Merged:
    """The one answer to a request that was spread over several streams."""

    def __init__(self, req_id: int | None, open: int = 0) -> None:
        self.req_id = req_id
        self.open = open
        self.failed: list[Json] = []
        self._result: Json | None = None

    def add(self, answer: Json) -> Json | None:
        """Takes one in; gives the whole once it is complete."""
        self.open -= 1
        result = answer["result"]
        if self._result is None:
            self._result = {"symbol": [], "globs": [], **result}
            self._result["failed"] = self.failed + result.get("failed", [])
        else:
            for name in ("symbol", "globs", "failed"):
                self._result[name] = self._result.get(name, []) + result.get(name, [])
        if self.open > 0:
            return None
        whole: Json = {"method": "subscribe", "success": True, "result": self._result}
        return whole if self.req_id is None else {**whole, "req_id": self.req_id}


class _Stream:
    """One event stream."""

    task: "asyncio.Task[None]"

    def __init__(self, params: Json, merged: _Merged) -> None:
        self.params = params
        self.merged = merged


class EventParser:
    """Bytes to events, each with its one JSON message."""

    def __init__(self) -> None:
        self._rest = b""
        self._event = ""
        self._data: list[str] = []

    def feed(self, part: bytes) -> list[tuple[str, Json]]:
        """The events that are complete now. Raises ProtocolFault."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        if len(self._rest) > http1.LINE_BYTES_MAX:
            raise ProtocolFault(f"an event's line is longer than {http1.LINE_BYTES_MAX} bytes")
        events = []
        for raw in lines:
            line = raw.rstrip(b"\r").decode()
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._event = value
            elif name == "data":
                self._data.append(value)
            elif not line and self._data:
                events.append((self._event, _message("\n".join(self._data))))
                self._event, self._data = "", []
        return events


def _message(text: str) -> Json:
    try:
        message = json.loads(text)
    except ValueError as fault:
        raise ProtocolFault(f"no JSON in an event: {fault}") from fault
    if not isinstance(message, dict):
        raise ProtocolFault("an event's message is no object")
    return message


def _options(params: Json) -> Json:
    """All that is asked for beside the names and what is claimed of them."""
    return {name: value for name, value in params.items() if name not in ("symbol", "since")}


def query(params: Json) -> str:
    """The parameters of `subscribe` as a query; `since` goes in a header."""
    fields = {}
    for name, value in params.items():
        if name == "since":
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        fields[name] = ",".join(value) if isinstance(value, list) else f"{value}"
    return urlencode(fields, safe=":,*")


def _parts(symbols: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    size = 0
    for symbol in symbols:
        size += len(urlencode({"": symbol}))
        if size > TARGET_BYTES_MAX and parts[-1]:
            parts.append([])
            size = len(urlencode({"": symbol}))
        parts[-1].append(symbol)
    return parts


async def open_sse(options: LinkOptions, token: str | None) -> SseLink:
    """Looks whether the service can be reached over plain HTTP with this token; the streams are
    opened by the subscriptions."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    response = await http1.get(options, "/v1/instruments?symbol=-", headers)
    try:
        if response.status != 200:
            raise await response.refusal()
    finally:
        response.close()
    return SseLink(options, token)
