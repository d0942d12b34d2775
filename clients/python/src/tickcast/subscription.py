"""A subscription as the user holds it: its values, its callbacks, its end."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType, TracebackType
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar, cast
from weakref import WeakSet

from tickcast.errors import ClosedError, Failure, SubscriptionError, TickcastError
from tickcast.pattern import is_glob, matches
from tickcast.session import Session
from tickcast.updates import Updates
from tickcast.view import Mark, View
from tickcast.words import Channel, Json, StreamKey, TradingState

V = TypeVar("V")
OnUpdate: TypeAlias = Callable[[V], None] | Callable[[V], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Granted:
    """What the service grants, which may differ from what was asked."""

    max_rate: float | None
    """Updates per second and symbol; None: real time."""
    fields: tuple[str, ...] | None
    depth: int | None
    interval: str | None
    symbols: tuple[str, ...]
    """The instruments of exact names."""
    globs: Mapping[str, int]
    """How many instruments each pattern matched."""


class Owner(Protocol):
    """What a subscription needs of the client."""

    session: Session

    def change(self, subscription: "Subscription[Any]", options: Json) -> None:
        """Asks for other options in place."""

    def end(self, subscription: "Subscription[Any]") -> None:
        """Ends a subscription."""

    @property
    def ended(self) -> ClosedError | None:
        """Why the client was closed; without a code when its user did."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Runs work beside, until the client closes."""
        ...

    def fault(self, text: str, error: Exception) -> None:
        """Tells of an exception that a callback raised."""


class Subscription(Generic[V]):
    """A subscription, and what it holds: `async for` its updates, or look a symbol up.

    It lives until it is closed or its client is.
    """

    def __init__(
        self,
        owner: Owner,
        number: int,
        key: StreamKey,
        symbols: tuple[str, ...],
        options: Json,
    ) -> None:
        self.id = number
        self.key = key
        self.symbols = symbols
        """Names and patterns as they were asked for."""
        self._owner = owner
        self._options = options
        self._failed: dict[str, Failure] = {}
        self._granted: Granted | None = None
        self._iterators: WeakSet[Updates[V]] = WeakSet()
        self._on_update: list[tuple[Callable[[V], object], dict[str, Mark | None]]] = []
        self._on_granted: list[Callable[[Granted], None]] = []
        self._on_failed: list[Callable[[str, Failure], None]] = []
        self._waiters: set[asyncio.Future[None]] = set()
        self._is_open = True

    # ------------------------------------------------------------ what it is

    @property
    def channel(self) -> Channel:
        """The channel."""
        return self.key.channel

    @property
    def options(self) -> Mapping[str, Any]:
        """The options as they were asked for."""
        return MappingProxyType(self._options)

    @property
    def granted(self) -> Granted | None:
        """What the service granted; None before it has answered."""
        return self._granted

    @property
    def failed(self) -> Mapping[str, Failure]:
        """Names and patterns that are not served, and why."""
        return MappingProxyType(self._failed)

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed."""
        return self._is_open

    # ------------------------------------------------------------ what it holds

    def get(self, symbol: str) -> V | None:
        """What is held of an instrument; None before its first message."""
        view = self._view(symbol)
        return None if view is None else cast(V, view.value(self.state_of(view)))

    def __getitem__(self, symbol: str) -> V:
        value = self.get(symbol)
        if value is None:
            raise KeyError(symbol)
        return value

    def __contains__(self, symbol: object) -> bool:
        return isinstance(symbol, str) and self._view(symbol) is not None

    def values(self) -> list[V]:
        """What is held, in the order in which it first came."""
        return [cast(V, view.value(self.state_of(view))) for view in self._views()]

    def __len__(self) -> int:
        return sum(1 for _ in self._views())

    def __bool__(self) -> bool:
        return True

    def __aiter__(self) -> Updates[V]:
        """Updates as they come, the newest of each symbol; begins with what is held."""
        iterator = Updates(self)
        for view in self._views():
            iterator.push(view)
        self._iterators.add(iterator)
        return iterator

    async def ready(self) -> Self:
        """Waits until every instrument that was granted has its first value.

        Raises SubscriptionError where nothing of it is served, ClosedError where the connection
        was closed for good.
        """
        while True:
            ended = self.ended
            if ended is not None:
                raise ended
            if self._is_complete():
                return self
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    # ------------------------------------------------------------ what to do

    def on_update(self, call: "OnUpdate[V]") -> Callable[[], None]:
        """Calls a function with each value; gives the way to end that.

        A coroutine function is run by a task of its own with the newest value of each symbol, one
        at a time; a plain function is called for every message.
        """
        if inspect.iscoroutinefunction(call):
            return self._follow(call)
        entry: tuple[Callable[[V], object], dict[str, Mark | None]] = (call, {})
        return _added(self._on_update, entry)

    def on_granted(self, call: Callable[[Granted], None]) -> Callable[[], None]:
        """Calls a function with what the service grants; gives the way to end that."""
        return _added(self._on_granted, call)

    def on_failed(self, call: Callable[[str, Failure], None]) -> Callable[[], None]:
        """Calls a function with each name that is not served; gives the way to end that."""
        return _added(self._on_failed, call)

    def change(self, **options: Any) -> None:
        """Asks for other options in place, such as `change(max_rate=1)`; the others stay. None
        takes the default again.

        Raises ValueError for an option that the channel has not, or that cannot be changed.
        """
        self._owner.change(self, options)

    def close(self) -> None:
        """Ends the subscription; iterators end."""
        if self._is_open:
            self._is_open = False
            self._owner.end(self)
            self.wake()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        symbols = ", ".join(self.symbols[:3]) + (", …" if len(self.symbols) > 3 else "")
        return f"<Subscription {self.channel} [{symbols}] {len(self)} held>"

    # ------------------------------------------------------------ for the client

    @property
    def has_on_failed(self) -> bool:
        """Whether somebody wants to hear of names that are not served."""
        return bool(self._on_failed)

    def state_of(self, view: View[Any]) -> TradingState:
        """What can be expected of a stream's values."""
        return self._owner.session.holdings.state_of(view)

    @property
    def ended(self) -> TickcastError | None:
        """Why there will be no more updates; None where there may be. A ClosedError without a
        code says that you closed it."""
        if not self._is_open:
            return ClosedError(None, "the subscription was closed")
        if self._owner.ended is not None:
            return self._owner.ended
        if self._failed and all(symbol in self._failed for symbol in self.symbols):
            return SubscriptionError(self._failed)
        return None

    def changed_options(self, options: Json) -> None:
        """Notes what is asked for from now on."""
        self._options = options
        self._failed.clear()

    def changed(self, view: View[Any]) -> None:
        """A stream has changed."""
        for iterator in self._iterators:
            iterator.push(view)
        for call, marks in list(self._on_update):
            value = view.value_since(self.state_of(view), marks.get(view.symbol))
            marks[view.symbol] = view.mark(value)
            self._call(call, value)
        if self._waiters:
            self._look()

    def hear_granted(self, result: Json, is_own: bool) -> None:
        """The service has answered, to the whole or to a part. What another subscription asked
        for says nothing of these options, unless there is nothing else."""
        before = self._granted
        fields = result.get("fields")
        names = dict.fromkeys((before.symbols if before else ()) + tuple(result["symbol"]))
        matched = {one["pattern"]: int(one["matched"]) for one in result.get("globs", [])}
        globs = {**(before.globs if before else {}), **matched}
        if before is not None and not is_own:
            self._granted = replace(before, symbols=tuple(names), globs=globs)
        else:
            self._granted = Granted(
                max_rate=result.get("max_rate"),
                fields=tuple(fields) if fields is not None else None,
                depth=result.get("depth"),
                interval=result.get("interval"),
                symbols=tuple(names),
                globs=globs,
            )
        for name in [*result["symbol"], *matched]:
            for pattern in [one for one in self._failed if matches(one, name)]:
                del self._failed[pattern]
        for call in list(self._on_granted):
            self._call(call, self._granted)
        self.wake()

    def hear_failed(self, pattern: str, failure: Failure) -> None:
        """A name is not served."""
        if self._failed.get(pattern) == failure:
            return
        self._failed[pattern] = failure
        for call in list(self._on_failed):
            self._call(call, pattern, failure)
        self.wake()

    def wake(self) -> None:
        """Whoever waits looks again."""
        for iterator in list(self._iterators):
            iterator.wake()
        self._look()

    # ------------------------------------------------------------ within

    def _views(self) -> Iterator[View[Any]]:
        return (
            view for view in self._owner.session.holdings.views(self.key) if self._asks_for(view)
        )

    def _view(self, symbol: str) -> View[Any] | None:
        view = self._owner.session.holdings.view(self.key, symbol)
        return view if view is not None and self._asks_for(view) else None

    def _asks_for(self, view: View[Any]) -> bool:
        return self.id in self._owner.session.owners(view)

    def _look(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _is_complete(self) -> bool:
        granted = self._granted
        if granted is None:
            return False
        held = [view.symbol for view in self._views() if view.confirmed]
        if len(held) < len(granted.symbols):
            return False
        known = {*held, *(symbol.partition(":")[2] for symbol in held)}
        for pattern in self.symbols:
            if pattern in self._failed:
                continue
            if not is_glob(pattern):
                if pattern not in known:
                    return False
                continue
            wanted = granted.globs.get(pattern)
            if wanted is None or sum(matches(pattern, symbol) for symbol in held) < wanted:
                return False
        return True

    def _follow(self, call: Callable[[V], Awaitable[None]]) -> Callable[[], None]:
        updates = self.__aiter__()

        async def follow() -> None:
            # What ends the iterator is told by `failed` and `connection`.
            with suppress(TickcastError):
                async for value in updates:
                    try:
                        await call(value)
                    except Exception as error:
                        self._owner.fault(f"{call!r} failed", error)

        task = self._owner.spawn(follow())

        def end() -> None:
            task.cancel()

        return end

    def _call(self, call: Callable[..., object], *values: object) -> None:
        try:
            call(*values)
        except Exception as error:
            self._owner.fault(f"{call!r} failed", error)


T = TypeVar("T")


def _added(calls: list[T], call: T) -> Callable[[], None]:
    calls.append(call)

    def end() -> None:
        if call in calls:
            calls.remove(call)

    return end
