"""Between what is held and those who look at it: tells subscriptions and callbacks what changed,
and counts for the connection."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from tickcast.connection import Connection
from tickcast.errors import ClosedError, Failure
from tickcast.options import wire_options
from tickcast.plan import Wish
from tickcast.session import Session
from tickcast.subscription import Subscription
from tickcast.trades import TradesView
from tickcast.view import View
from tickcast.words import Json, StreamKey, TradingState

log = logging.getLogger("tickcast")


class Hub:
    """All subscriptions of a client."""

    def __init__(self, *, verify_checksums: bool) -> None:
        self.session = Session(self, verify_checksums=verify_checksums)
        self.connection = Connection()
        self.ended: ClosedError | None = None
        self.wake: Callable[[], None] = lambda: None
        self.on_status: list[Callable[[str, TradingState], None]] = []
        self.on_connection: list[Callable[[Connection], None]] = []
        self.on_message: list[Callable[[Json], None]] = []
        self._subscriptions: dict[int, Subscription[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0

    def begin(self, key: StreamKey, symbols: tuple[str, ...], options: Json) -> Subscription[Any]:
        """A new subscription."""
        if self.ended is not None:
            raise ClosedError(self.ended.code, self.ended.reason)
        self._number += 1
        subscription: Subscription[Any] = Subscription(self, self._number, key, symbols, options)
        self._subscriptions[self._number] = subscription
        self.session.subscribe(self._number, Wish(key, options, symbols))
        self.wake()
        return subscription

    def end_all(self, ended: ClosedError) -> None:
        """Nothing more will come."""
        if self.ended is None:
            self.ended = ended
        for subscription in list(self._subscriptions.values()):
            subscription.wake()

    async def stop(self) -> None:
        """Ends what runs beside."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def connection_changed(self) -> None:
        """The connection is in another state."""
        for call in list(self.on_connection):
            self._call(call, self.connection)

    def heard(self, message: Json) -> None:
        """A message has been taken in."""
        counts = self.session.counts
        self.connection.resyncs = self.session.asking.resyncs
        self.connection.checksum_failures = counts.checksum_failures
        for call in list(self.on_message) if self.on_message else ():
            self._call(call, message)

    # ------------------------------------------------------------ for subscriptions

    def change(self, subscription: Subscription[Any], options: Json) -> None:
        """Asks for other options in place."""
        if not subscription.is_open:
            raise ClosedError(None, "the subscription was closed")
        merged = wire_options(subscription.channel, {**subscription.options, **options})
        subscription.changed_options(merged)
        wish = Wish(subscription.key, merged, subscription.symbols)
        self.session.subscribe(subscription.id, wish)
        self.wake()

    def end(self, subscription: Subscription[Any]) -> None:
        """Ends a subscription."""
        del self._subscriptions[subscription.id]
        self.session.unsubscribe(subscription.id, subscription.key, subscription.symbols)
        self.wake()

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Runs work beside, until the client closes."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def fault(self, text: str, error: Exception) -> None:
        """Tells of an exception that a callback raised, as asyncio tells of its own."""
        context = {"message": f"tickcast: {text}", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)

    # ------------------------------------------------------------ for the session

    def changed(self, view: View[Any]) -> None:
        """A stream's values or state changed."""
        for owner in self.session.owners(view):
            subscription = self._subscriptions.get(owner)
            if subscription is not None:
                subscription.changed(view)

    def status(self, symbol: str, state: TradingState) -> None:
        """An instrument's state changed."""
        for call in list(self.on_status):
            self._call(call, symbol, state)

    def granted(self, owner: int, result: Json, is_own: bool) -> None:
        """A subscription, or a part of it, was granted."""
        subscription = self._subscriptions.get(owner)
        if subscription is not None:
            subscription.hear_granted(result, is_own)

    def failed(self, owner: int, pattern: str, failure: Failure) -> None:
        """A name or pattern of a subscription is not served."""
        subscription = self._subscriptions.get(owner)
        if subscription is not None:
            if not subscription.has_on_failed:
                log.warning("%s: %s (%d)", pattern, failure.error, failure.code)
            subscription.hear_failed(pattern, failure)

    def missed_trades(self) -> int:
        """How many trades were certainly missed in what is held."""
        views = self.session.holdings.views(StreamKey("trades"))
        return sum(view.missed for view in views if isinstance(view, TradesView))

    def _call(self, call: Callable[..., object], *values: object) -> None:
        try:
            call(*values)
        except Exception as error:
            self.fault(f"{call!r} failed", error)
