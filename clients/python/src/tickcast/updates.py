"""The conflating iterator: whoever is slow gets the newest state of each symbol, and never a
queue. What waits is a set of symbols, so it is bounded by them and not by time or rate."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Generic, TypeVar

from tickcast.errors import ClosedError
from tickcast.view import Mark, View

if TYPE_CHECKING:
    from tickcast.subscription import Subscription

V = TypeVar("V")


class Updates(AsyncIterator[V], Generic[V]):
    """Values of a subscription, as they change. Begins with what is held."""

    def __init__(self, subscription: "Subscription[V]") -> None:
        self._subscription = subscription
        self._changed: dict[str, View[V]] = {}
        self._marks: dict[str, Mark | None] = {}
        self._waiter: asyncio.Future[None] | None = None

    def __aiter__(self) -> "Updates[V]":
        return self

    async def __anext__(self) -> V:
        while True:
            while self._changed:
                # The symbol that has waited longest comes first.
                symbol = next(iter(self._changed))
                view = self._changed.pop(symbol)
                if view.rule.holds:
                    return self._take(symbol, view)
            ended = self._subscription.ended
            if isinstance(ended, ClosedError) and ended.code is None:
                raise StopAsyncIteration
            if ended is not None:
                raise ended
            await self._wait()

    def push(self, view: View[V]) -> None:
        """A stream has changed."""
        self._changed[view.symbol] = view
        self.wake()

    def wake(self) -> None:
        """Looks again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _take(self, symbol: str, view: View[V]) -> V:
        state = self._subscription.state_of(view)
        value = view.value_since(state, self._marks.get(symbol))
        self._marks[symbol] = view.mark(value)
        return value

    async def _wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("two tasks wait for one iterator; give each one of its own")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
