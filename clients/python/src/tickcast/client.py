"""The client that a user holds: subscriptions, questions, the connection, the end."""

import asyncio
import ssl as tls
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar, overload

from tickcast import rest
from tickcast.address import address
from tickcast.backoff import Backoff
from tickcast.bars import Bars
from tickcast.book import Book
from tickcast.codec import Encoding
from tickcast.connection import Connection, Stats, stats_of
from tickcast.errors import ClosedError, NotLiveError, RequestError
from tickcast.hub import Hub
from tickcast.keeper import Keeper
from tickcast.link import LinkOptions
from tickcast.options import checked_key, wire_options
from tickcast.pattern import checked
from tickcast.rest import Instrument
from tickcast.subscription import OnUpdate, Subscription
from tickcast.ticker import Ticker
from tickcast.tokens import Tokens, TokenSource
from tickcast.trades import Trades
from tickcast.words import Channel, Depth, Interval, Json, StreamKey, TickerField, TradingState

Transport: TypeAlias = Literal["auto", "websocket", "sse"]
Symbols: TypeAlias = str | Sequence[str]
V = TypeVar("V")

ANSWER_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""

    rtt_us: int
    """The way there and back."""
    clock_offset_us: int
    """The service's clock less ours, as if both ways were equally long."""


class Tickcast:
    """A client of a tickcast service. Made by `connect`, used with `async with`."""

    def __init__(
        self, options: LinkOptions, transport: Transport, backoff: Backoff, hub: Hub, tokens: Tokens
    ) -> None:
        self._options = options
        self._hub = hub
        self._tokens = tokens
        self._keeper = Keeper(
            options, transport, backoff, tokens, hub.session, hub.connection,
            self._connection_changed, self._heard,
        )  # fmt: skip
        hub.wake = self._keeper.wake
        self._answers: dict[int, asyncio.Future[Json]] = {}
        self._turned: set[asyncio.Future[None]] = set()
        self._task: asyncio.Task[None] | None = None

    # ------------------------------------------------------------ begin and end

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise RuntimeError("a client is entered once")
        self._hub.connection.turn("connecting")
        self._task = asyncio.get_running_loop().create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def close(self) -> None:
        """Closes the connection in order, ends all iterators, and leaves nothing running."""
        self._hub.end_all(ClosedError(None, "closed by you"))
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._hub.stop()
        if self._hub.connection.state != "closed":
            self._hub.session.disconnected()
            self._hub.connection.turn("closed")
            self._connection_changed()

    def reconnect(self) -> None:
        """Gives up the connection, or the wait for the next, and tries now."""
        self._keeper.reconnect()

    async def wait_live(self) -> None:
        """Waits until data flow. Raises ClosedError where they never will."""
        while not self.connection.is_live:
            if self._hub.ended is not None:
                raise self._hub.ended
            await self._turn()

    async def wait_closed(self) -> None:
        """Waits until the connection is closed for good; `connection.reason` says why."""
        while self._hub.ended is None:
            await self._turn()

    # ------------------------------------------------------------ subscriptions

    def ticker(
        self,
        symbols: Symbols,
        *,
        max_rate: float | None = None,
        fields: Sequence[TickerField] | None = None,
        on_update: OnUpdate[Ticker] | None = None,
    ) -> Subscription[Ticker]:
        """Best bid and ask, last trade and day of instruments, by name or glob."""
        options = {"max_rate": max_rate, "fields": fields}
        return self._begin(StreamKey("ticker"), symbols, options, on_update)

    def trades(
        self,
        symbols: Symbols,
        *,
        max_rate: float | None = None,
        snapshot: bool = True,
        on_update: OnUpdate[Trades] | None = None,
    ) -> Subscription[Trades]:
        """Trades of instruments; without `snapshot` from now on only."""
        options = {"max_rate": max_rate, "snapshot": None if snapshot else False}
        return self._begin(StreamKey("trades"), symbols, options, on_update)

    def book(
        self,
        symbols: Symbols,
        *,
        depth: Depth = 10,
        max_rate: float | None = None,
        on_update: OnUpdate[Book] | None = None,
    ) -> Subscription[Book]:
        """Books of instruments down to a depth."""
        options = {"depth": depth, "max_rate": max_rate}
        return self._begin(StreamKey("book"), symbols, options, on_update)

    def bars(
        self,
        symbols: Symbols,
        *,
        interval: Interval = "1m",
        max_rate: float | None = None,
        on_update: OnUpdate[Bars] | None = None,
    ) -> Subscription[Bars]:
        """Bars of instruments and an interval."""
        key = checked_key("bars", interval)
        return self._begin(key, symbols, {"max_rate": max_rate}, on_update)

    def _begin(
        self, key: StreamKey, symbols: Symbols, options: Json, on_update: OnUpdate[V] | None
    ) -> Subscription[V]:
        wired = wire_options(key.channel, options)
        subscription: Subscription[V] = self._hub.begin(key, checked(symbols), wired)
        if on_update is not None:
            subscription.on_update(on_update)
        return subscription

    # ------------------------------------------------------------ what is known

    @property
    def connection(self) -> Connection:
        """The connection, always as it is now."""
        self._hub.connection.missed_trades = self._hub.missed_trades()
        return self._hub.connection

    def status(self, symbol: str) -> TradingState | None:
        """What can be expected of an instrument's data; None where it is not subscribed to."""
        return self._hub.session.holdings.status_of(symbol)

    def statuses(self) -> dict[str, TradingState]:
        """The same of every instrument that is subscribed to."""
        return self._hub.session.holdings.statuses()

    def on_connection(self, call: Callable[[Connection], None]) -> Callable[[], None]:
        """Calls a function when the connection's state changes; gives the way to end that."""
        return _added(self._hub.on_connection, call)

    def on_status(self, call: Callable[[str, TradingState], None]) -> Callable[[], None]:
        """Calls a function when an instrument's state changes; gives the way to end that."""
        return _added(self._hub.on_status, call)

    def on_message(self, call: Callable[[Json], None]) -> Callable[[], None]:
        """Calls a function with every message as it came; gives the way to end that."""
        return _added(self._hub.on_message, call)

    # ------------------------------------------------------------ questions

    async def stats(self) -> Stats:
        """The service's view of this connection. Raises NotLiveError, RequestError."""
        return stats_of((await self._request("stats"))["result"])

    async def ping(self) -> Pong:
        """Asks for a sign of life, over all that lies between. Raises NotLiveError."""
        began, began_us = time.monotonic(), time.time_ns() // 1000
        answer = await self._request("ping")
        rtt_us = int((time.monotonic() - began) * 1_000_000)
        pong = Pong(rtt_us, int(answer["ts_publish"]) - began_us - rtt_us // 2)
        self._hub.connection.rtt_us = pong.rtt_us
        self._hub.connection.clock_offset_us = pong.clock_offset_us
        return pong

    async def instruments(self, glob: str = "*") -> list[Instrument]:
        """Which instruments there are. Needs no connection; raises NotLiveError, RequestError."""
        return await rest.instruments(self._options, await self._tokens.fetch(), glob)

    @overload
    async def snapshot(self, channel: Literal["ticker"], symbols: Symbols) -> list[Ticker]: ...
    @overload
    async def snapshot(self, channel: Literal["trades"], symbols: Symbols) -> list[Trades]: ...
    @overload
    async def snapshot(
        self, channel: Literal["book"], symbols: Symbols, *, depth: Depth = 10
    ) -> list[Book]: ...
    @overload
    async def snapshot(
        self, channel: Literal["bars"], symbols: Symbols, *, interval: Interval = "1m"
    ) -> list[Bars]: ...
    async def snapshot(
        self,
        channel: Channel,
        symbols: Symbols,
        *,
        depth: Depth | None = None,
        interval: Interval | None = None,
    ) -> list[Any]:
        """What instruments are now, without a subscription. Raises NotLiveError, RequestError."""
        key = checked_key(channel, interval)
        params = wire_options(channel, {"depth": depth} if depth is not None else {})
        if interval is not None:
            if channel != "bars":
                raise ValueError(f"interval: {channel} has none")
            params["interval"] = interval
        names, token, now_us = checked(symbols), await self._tokens.fetch(), time.time_ns() // 1000
        return await rest.snapshot(self._options, token, key, names, params, now_us)

    async def _request(self, method: str) -> Json:
        if not self._keeper.is_interactive:
            raise NotLiveError(f"{method}: there is no live WebSocket to ask on")
        request = self._hub.session.asking.request(method)
        answered: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._answers[request["req_id"]] = answered
        try:
            self._keeper.send(request)
            async with asyncio.timeout(ANSWER_WITHIN_S):
                answer = await answered
        except TimeoutError as fault:
            raise NotLiveError(f"{method}: no answer within {ANSWER_WITHIN_S:g} s") from fault
        finally:
            self._answers.pop(request["req_id"], None)
        if answer.get("success") is False:
            raise RequestError(int(answer["code"]), str(answer["error"]))
        return answer

    # ------------------------------------------------------------ within

    async def _run(self) -> None:
        try:
            await self._keeper.run()
            reason = self._hub.connection.reason
            code, text = (reason.code, reason.text) if reason else (None, "closed")
            self._hub.end_all(ClosedError(code, text))
        except Exception as bug:
            self._hub.connection.turn("closed")
            self._hub.end_all(ClosedError(4500, f"a fault of this package: {bug!r}"))
            self._hub.fault("the connection's task failed", bug)
        finally:
            self._connection_changed()

    def _heard(self, message: Json) -> None:
        if self._answers and message.get("req_id") in self._answers:
            answered = self._answers[message["req_id"]]
            if not answered.done():
                answered.set_result(message)
        self._hub.heard(message)

    def _connection_changed(self) -> None:
        if not self._hub.connection.is_live:
            for answered in self._answers.values():
                if not answered.done():
                    answered.set_exception(NotLiveError("the connection was lost"))
        for waiter in self._turned:
            if not waiter.done():
                waiter.set_result(None)
        self._hub.connection_changed()

    async def _turn(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turned.add(waiter)
        try:
            await waiter
        finally:
            self._turned.discard(waiter)


def connect(
    url: str,
    *,
    token: TokenSource | None = None,
    encoding: Encoding = "json",
    transport: Transport = "auto",
    verify_checksums: bool = False,
    backoff: Backoff | None = None,
    ssl: tls.SSLContext | None = None,
    proxy: str | None = None,
    open_timeout_s: float = 10.0,
    close_timeout_s: float = 2.0,
) -> Tickcast:
    """A client of the service at `url` (ws://, wss://, http:// or https://).

    Nothing is opened before `async with`, which does not wait for the connection: subscribe at
    once. Raises ValueError for an option that makes no sense.

    - `token`: a token, or a function (plain or coroutine) that gives one each time one is needed;
    - `encoding`: `json`, or `protobuf` for fewer bytes;
    - `transport`: `auto` falls back to server-sent events where WebSockets are blocked;
    - `verify_checksums`: whether each book is checked against the service's;
    - `backoff`: how long to wait between tries;
    - `ssl`: what to trust; `proxy`: an HTTP or SOCKS proxy for the WebSocket.
    """
    if encoding not in ("json", "protobuf"):
        raise ValueError(f"encoding: {encoding!r} is not one of json, protobuf")
    if transport not in ("auto", "websocket", "sse"):
        raise ValueError(f"transport: {transport!r} is not one of auto, websocket, sse")
    if token is not None and not isinstance(token, str) and not callable(token):
        raise ValueError("token: neither a text nor a function")
    options = LinkOptions(address(url), encoding, ssl, proxy, open_timeout_s, close_timeout_s)
    hub = Hub(verify_checksums=verify_checksums)
    return Tickcast(options, transport, backoff or Backoff(), hub, Tokens(token))


T = TypeVar("T")


def _added(calls: list[T], call: T) -> Callable[[], None]:
    calls.append(call)

    def end() -> None:
        if call in calls:
            calls.remove(call)

    return end
