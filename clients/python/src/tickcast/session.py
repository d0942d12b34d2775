"""Everything that one client holds, over all of its connections: what it subscribed to, what came
of it, and what has to be asked again.

Knows no socket and no clock: decoded messages and the time go in; requests come out, and what
changed is told to a listener.
"""

from dataclasses import dataclass
from typing import Any

from tickcast.asking import Asking, Listener
from tickcast.errors import ProtocolFault
from tickcast.holdings import VIEWS, Holdings, Status
from tickcast.pattern import is_glob
from tickcast.plan import Plan, Wish
from tickcast.rule import Rule, Verdict
from tickcast.view import NOWHERE, ChecksumFailure, View, Violation
from tickcast.words import CHANNELS, Json, StreamKey

KEYS: dict[str, StreamKey] = {channel: StreamKey(channel) for channel in CHANNELS}


@dataclass(slots=True)
class Counts:
    """What came in, by what became of it."""

    items: int = 0
    applied: int = 0
    ignored: int = 0
    gaps: int = 0
    violations: int = 0
    checksum_failures: int = 0
    unexpected: int = 0


class Session:
    """The state of one client."""

    def __init__(self, listener: Listener, *, verify_checksums: bool = False) -> None:
        self.counts = Counts()
        self.plan = Plan()
        self.holdings = Holdings(verify_checksums=verify_checksums)
        self.asking = Asking(self.plan, self.holdings, listener)
        self._listener = listener

    # ------------------------------------------------------------ what the user wants

    def subscribe(self, owner: int, wish: Wish) -> None:
        """Begins a subscription or changes one in place."""
        self.plan.add(owner, wish)
        for view in self._touched(wish.key, wish.patterns):
            view.owners = None

    def unsubscribe(self, owner: int, key: StreamKey, patterns: tuple[str, ...]) -> None:
        """Ends a subscription to these patterns and lets go what only it needed."""
        self.asking.end(key, self.plan.remove(owner))
        statuses = self.holdings.status
        gone = list(statuses) if any(map(is_glob, patterns)) else list(patterns)
        for view in self._touched(key, patterns):
            view.owners = None
            if self.plan.find(key, view.symbol) is None:
                self.asking.release(view)
                gone.append(view.symbol)
        for symbol in gone:
            if symbol in statuses and not self.plan.keys_of(symbol):
                del statuses[symbol]

    def _touched(self, key: StreamKey, patterns: tuple[str, ...]) -> list[View[Any]]:
        """The streams that these patterns may mean; where all are full names that costs no
        search."""
        views = self.holdings.by_key.get(key, {})
        if all(":" in pattern and not is_glob(pattern) for pattern in patterns):
            return [views[pattern] for pattern in patterns if pattern in views]
        return list(views.values())

    # ------------------------------------------------------------ what is held

    def owners(self, view: View[Any]) -> tuple[int, ...]:
        """The subscriptions that a stream belongs to."""
        if view.owners is None:
            view.owners = self.plan.owners(view.key, view.symbol)
        return view.owners

    # ------------------------------------------------------------ connections

    def connected(self) -> None:
        """Begins a new connection: every subscription is to be said again, with what is held
        claimed by `since`. Status is never resumed."""
        self.holdings.is_live = True
        self.asking.forget()
        for status in self.holdings.status.values():
            status.rule = Rule()
        for view in self.holdings.all():
            view.rule.reconnected()
        self.plan.begin_anew()

    def disconnected(self) -> None:
        """The connection is gone: everything that is held reads as stale."""
        if not self.holdings.is_live:
            return
        self.holdings.is_live = False
        self.asking.forget()
        for view in self.holdings.all():
            view.confirmed = view.gap = False
            view.behind = NOWHERE
            if view.rule.holds:
                self._listener.changed(view)
        for symbol in self.holdings.status:
            self._listener.status(symbol, "stale")

    # ------------------------------------------------------------ messages

    def receive(self, message: Json, now: float, received_at: int) -> None:
        """Takes a message in. Unknown channels and methods are ignored.

        Raises ProtocolFault for one that cannot be read.
        """
        channel = message.get("channel")
        try:
            if channel in VIEWS:
                is_snapshot = message["type"] == "snapshot"
                if is_snapshot or message["type"] == "update":
                    for item in message["data"]:
                        self._item(channel, item, is_snapshot, now, received_at)
                elif message["type"] == "unopened":
                    self._unopened(channel, now)
            elif channel == "status":
                for item in message["data"]:
                    self._status(item, message["type"] == "snapshot", now)
            elif message.get("method") == "subscribe":
                self.asking.answered(message, now)
        except (LookupError, TypeError, ValueError, AttributeError) as fault:
            self.counts.violations += 1
            text = f"{type(fault).__name__}: {fault}"
            raise ProtocolFault(f"{channel or message.get('method')}: {text}") from fault

    def _item(
        self, channel: str, item: Json, is_snapshot: bool, now: float, received_at: int
    ) -> None:
        self.counts.items += 1
        symbol: str = item["symbol"]
        key = KEYS[channel] if channel != "bars" else StreamKey("bars", item["interval"])
        view = self.holdings.find(key, symbol)
        if view is None:
            if self.plan.find(key, symbol) is None:
                self.counts.unexpected += 1
                return
            view = self.holdings.begin(key, symbol)
        try:
            verdict = view.take(item, is_snapshot, received_at)
        except Violation as violation:
            self.counts.violations += 1
            self.counts.checksum_failures += isinstance(violation, ChecksumFailure)
            view.asking = None  # This may have been the answer itself.
            self.asking.missing(view, now, (item["epoch"], item["seq"]))
            return
        if verdict is Verdict.APPLIED:
            self.counts.applied += 1
            self.asking.applied(view)
            self._listener.changed(view)
        elif verdict is Verdict.ASK_AGAIN:
            self.counts.gaps += 1
            self.asking.missing(view, now, (item["epoch"], item["seq"]))
        else:
            self.counts.ignored += 1
            # The answer to a `since` that is up to date is an update without any change.
            is_answer = not is_snapshot and item["prev"] == item["seq"] == view.rule.seq
            if is_answer and item["epoch"] == view.rule.epoch and self.asking.answers(view):
                self._listener.changed(view)

    def _status(self, item: Json, is_snapshot: bool, now: float) -> None:
        self.counts.items += 1
        symbol: str = item["symbol"]
        status = self.holdings.status.get(symbol)
        if status is None:
            keys = self.plan.keys_of(symbol)
            if not keys:
                self.counts.unexpected += 1
                return
            status = self.holdings.status[symbol] = Status(Rule())
            for key in keys:
                self.asking.expect(self.holdings.begin(key, symbol), now)
        rule = status.rule
        if is_snapshot:
            verdict = rule.snapshot(item["epoch"], item["seq"])
        else:
            verdict = rule.update(item["epoch"], item["prev"], item["seq"])
        if verdict is Verdict.ASK_AGAIN:
            self.counts.gaps += 1
            # To ask again for any of its streams has the status said again.
            for view in self.holdings.of_symbol(symbol):
                return self.asking.missing(view, now)
        elif verdict is Verdict.APPLIED:
            self.counts.applied += 1
            status.state = item["state"]
            self._listener.status(symbol, status.state)
            for view in self.holdings.of_symbol(symbol):
                if view.rule.holds:
                    self._listener.changed(view)

    def _unopened(self, channel: str, now: float) -> None:
        """In the binary encoding an update of a stream that was not opened does not say what it is
        of. It may be of an epoch that had ended before, or any of the channel may have lost its
        opening; whatever is up to date is told just that."""
        for view in self.holdings.all():
            if view.channel == channel:
                self.asking.ask_for(view, now)
