"""Everything that one client holds, over all of its connections: what it subscribed to, views,
counts, and what has to be asked again.

Knows no socket and no clock: decoded messages and the time go in; requests come out, and what
changed is told to a listener.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from tickcast.bars import BarsView
from tickcast.book import BookView
from tickcast.errors import NOT_ENTITLED, Failure, ProtocolFault
from tickcast.plan import Entry, Plan, Wish
from tickcast.rule import Rule, Verdict
from tickcast.ticker import TickerView
from tickcast.trades import TradesView
from tickcast.view import ChecksumFailure, View, Violation
from tickcast.words import CHANNELS, Json, StreamKey, TradingState

ASK_AGAIN_BASE_S = 0.1
ASK_AGAIN_MAX_S = 2.0
STRIKES_FORGOTTEN_AFTER_S = 10.0
ANSWER_WITHIN_S = 5.0
VIEWS: dict[str, type[View[Any]]] = {
    "ticker": TickerView, "trades": TradesView, "book": BookView, "bars": BarsView,
}
KEYS: dict[str, StreamKey] = {channel: StreamKey(channel) for channel in CHANNELS}


class Listener(Protocol):
    """Who is told what changed."""

    def changed(self, view: View[Any]) -> None:
        """A stream's values or state changed."""

    def status(self, symbol: str, state: TradingState) -> None:
        """An instrument's state changed."""

    def granted(self, owner: int, result: Json) -> None:
        """A subscription, or a part of it, was granted."""

    def failed(self, owner: int, pattern: str, failure: Failure) -> None:
        """A name or pattern of a subscription is not served."""


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
    resyncs: int = 0
    """Streams that were asked for again."""


@dataclass(slots=True)
class Status:
    """The state of an instrument as told on this connection."""

    rule: Rule
    state: TradingState = "resync"


@dataclass(slots=True)
class Pending:
    """A subscribe request that was made and not answered."""

    entry: Entry
    asks: list[View[Any]] = field(default_factory=list)
    made_at: float = math.inf
    """When it was sent; until then nothing is awaited."""


class Session:
    """The state of one client."""

    def __init__(self, listener: Listener, *, verify_checksums: bool = False) -> None:
        self.counts = Counts()
        self.plan = Plan()
        self.is_live = False
        self._listener = listener
        self._verify = verify_checksums
        self._views: dict[StreamKey, dict[str, View[Any]]] = {}
        self._statuses: dict[str, Status] = {}
        self._due: dict[View[Any], float] = {}
        self._pending: dict[int, Pending] = {}
        self._awaited: dict[View[Any], float] = {}
        self._denied: set[tuple[StreamKey, str]] = set()
        self._req_id = 0

    # ------------------------------------------------------------ what the user wants

    def subscribe(self, owner: int, wish: Wish) -> list[Json]:
        """Begins a subscription or changes one in place."""
        entries = self.plan.add(owner, wish)
        self._owners_changed(wish.key)
        return [self._ask(entry, {}) for entry in entries]

    def unsubscribe(self, owner: int, key: StreamKey) -> list[Json]:
        """Ends a subscription and lets go what only it needed."""
        orphans, entries = self.plan.remove(owner)
        self._owners_changed(key)
        for view in list(self._views.get(key, {}).values()):
            if self.plan.find(key, view.symbol) is None:
                self._release(view)
        for symbol in [one for one in self._statuses if self.plan.covers(one) is None]:
            del self._statuses[symbol]
        requests = [self._ask(entry, {}) for entry in entries]
        if orphans:
            params: Json = {"channel": key.channel, "symbol": orphans}
            if key.interval:
                params["interval"] = key.interval
            requests.append(self.request("unsubscribe", params))
        return requests

    def request(self, method: str, params: Json | None = None) -> Json:
        """A request of any kind with a number of its own."""
        self._req_id += 1
        request: Json = {"method": method, "req_id": self._req_id}
        if params is not None:
            request["params"] = params
        return request

    # ------------------------------------------------------------ what is held

    def view(self, key: StreamKey, symbol: str) -> View[Any] | None:
        """The stream of an instrument; a bare symbol will do where just one venue has it."""
        views = self._views.get(key, {})
        found = views.get(symbol)
        if found is None and ":" not in symbol:
            bare = [view for name, view in views.items() if name.partition(":")[2] == symbol]
            found = bare[0] if len(bare) == 1 else None
        return found if found is not None and found.rule.holds else None

    def views(self, key: StreamKey) -> Iterator[View[Any]]:
        """Every stream of a channel of which something is held."""
        return (view for view in self._views.get(key, {}).values() if view.rule.holds)

    def owners(self, view: View[Any]) -> tuple[int, ...]:
        """The subscriptions that a stream belongs to."""
        if view.owners is None:
            view.owners = self.plan.owners(view.key, view.symbol)
        return view.owners

    def state_of(self, view: View[Any]) -> TradingState:
        """What can be expected of a stream's values: the instrument's status, unless they may be
        old for a reason of our own."""
        if not self.is_live or not (view.confirmed or view.gap):
            return "stale"
        if view.gap:
            return "resync"
        status = self._statuses.get(view.symbol)
        return status.state if status is not None else view.told_state

    def status_of(self, symbol: str) -> TradingState | None:
        """The state of an instrument; None where nothing was told of it."""
        status = self._statuses.get(symbol)
        if status is None:
            return None
        return status.state if self.is_live else "stale"

    def statuses(self) -> dict[str, TradingState]:
        """The state of every instrument that is subscribed to."""
        return {symbol: self.status_of(symbol) or "stale" for symbol in self._statuses}

    # ------------------------------------------------------------ connections

    def connected(self) -> list[Json]:
        """Begins a new connection: every subscription is to be sent again, with what is held
        claimed by `since`. Status is never resumed."""
        self.is_live = True
        self._forget_requests()
        for status in self._statuses.values():
            status.rule = Rule()
        for views in self._views.values():
            for view in views.values():
                view.rule.reconnected()
        for owner in self.plan.every_owner():
            self.plan.restore(owner)
        since: dict[Entry, dict[str, Json]] = {entry: {} for entry in self.plan.entries}
        for key, views in self._views.items():
            for symbol in sorted(views):
                view = views[symbol]
                entry = self.plan.find(key, symbol)
                # What does not fit comes as a snapshot: a second request would come too late.
                if entry is None or not view.rule.holds or not view.claims(entry.options):
                    continue
                if entry.has_room(since[entry], symbol):
                    since[entry][symbol] = {"epoch": view.rule.epoch, "seq": view.rule.seq}
        return [self._ask(entry, claimed) for entry, claimed in since.items()]

    def disconnected(self) -> None:
        """The connection is gone: everything that is held reads as stale."""
        if not self.is_live:
            return
        self.is_live = False
        self._forget_requests()
        for views in self._views.values():
            for view in views.values():
                view.confirmed = view.gap = False
                if view.rule.holds:
                    self._listener.changed(view)
        for symbol in self._statuses:
            self._listener.status(symbol, "stale")

    def _forget_requests(self) -> None:
        self._due.clear()
        self._pending.clear()
        self._awaited.clear()
        for views in self._views.values():
            for view in views.values():
                view.asking = None

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
                self._answered(message, now)
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
        views = self._views.setdefault(key, {})
        view = views.get(symbol)
        if view is None:
            if self.plan.find(key, symbol) is None:
                self.counts.unexpected += 1
                return
            view = self._view_of(key, symbol)
        try:
            verdict = view.take(item, is_snapshot, received_at)
        except Violation as violation:
            self.counts.violations += 1
            self.counts.checksum_failures += isinstance(violation, ChecksumFailure)
            view.asking = None  # This may have been the answer itself.
            self._missing(view, now)
            return
        if verdict is Verdict.APPLIED:
            self.counts.applied += 1
            self._sound(view)
            self._listener.changed(view)
        elif verdict is Verdict.ASK_AGAIN:
            self.counts.gaps += 1
            self._missing(view, now)
        else:
            self.counts.ignored += 1
            # The answer to a `since` that is up to date is an update without any change.
            rule = view.rule
            is_place = item["epoch"] == rule.epoch and item["seq"] == rule.seq
            if is_place and (view.gap or not view.confirmed):
                self._sound(view)
                self._listener.changed(view)

    def _view_of(self, key: StreamKey, symbol: str) -> View[Any]:
        views = self._views.setdefault(key, {})
        view = views.get(symbol)
        if view is None:
            view = views[symbol] = VIEWS[key.channel](symbol, key)
            if isinstance(view, BookView):
                view.verify = self._verify
        return view

    def _status(self, item: Json, is_snapshot: bool, now: float) -> None:
        self.counts.items += 1
        symbol: str = item["symbol"]
        key = self.plan.covers(symbol) if symbol not in self._statuses else None
        status = self._statuses.get(symbol)
        if status is None:
            if key is None:
                self.counts.unexpected += 1
                return
            status = self._statuses[symbol] = Status(Rule())
            for entry in self.plan.entries:
                self._expect(entry, (symbol,), now)
        rule = status.rule
        if is_snapshot:
            verdict = rule.snapshot(item["epoch"], item["seq"])
        else:
            verdict = rule.update(item["epoch"], item["prev"], item["seq"])
        if verdict is Verdict.ASK_AGAIN:
            self.counts.gaps += 1
            for views in self._views.values():
                if symbol in views:
                    return self._missing(views[symbol], now)
        elif verdict is Verdict.APPLIED:
            self.counts.applied += 1
            status.state = item["state"]
            self._listener.status(symbol, status.state)
            for views in self._views.values():
                view = views.get(symbol)
                if view is not None and view.rule.holds:
                    self._listener.changed(view)

    def _unopened(self, channel: str, now: float) -> None:
        """In the binary encoding an update of a stream that was never opened does not say what it
        is of: any of the channel may have lost its opening."""
        self.counts.gaps += 1
        for key, views in self._views.items():
            if key.channel == channel:
                for view in views.values():
                    self._missing(view, now)

    def _expect(self, entry: Entry, symbols: Iterable[str], now: float) -> None:
        """The first messages of these instruments have to come."""
        for symbol in symbols:
            if self.plan.find(entry.key, symbol) is entry:
                view = self._view_of(entry.key, symbol)
                if not view.confirmed or view.gap:
                    self._awaited[view] = now

    def _sound(self, view: View[Any]) -> None:
        """Nothing is missing."""
        if view.gap or not view.confirmed:
            view.confirmed = True
            view.gap = False
            self._due.pop(view, None)
            self._awaited.pop(view, None)

    def _missing(self, view: View[Any], now: float) -> None:
        """Something is missing: to be asked for again, unless that is under way."""
        if not view.gap:
            view.gap = True
            if view.rule.holds:
                self._listener.changed(view)
        if view.asking is None and view not in self._due:
            if now - view.asked_at > STRIKES_FORGOTTEN_AFTER_S:
                view.strikes = 0
            wait = ASK_AGAIN_BASE_S * 2 ** (view.strikes - 1) if view.strikes else 0.0
            self._due[view] = now + min(wait, ASK_AGAIN_MAX_S)

    # ------------------------------------------------------------ asking

    def next_ask_at(self) -> float | None:
        """When something has to be asked for again; None where nothing has."""
        return min(self._due.values(), default=None)

    def ask_again(self, now: float) -> list[Json]:
        """The requests that ask again for what is due: each repeats its subscription, same
        patterns and options, with `since` for the streams concerned and no others."""
        open_requests: list[tuple[Entry, dict[str, Json], list[View[Any]]]] = []
        latest: dict[Entry, int] = {}
        for view in [view for view, at in self._due.items() if at <= now]:
            del self._due[view]
            entry = self.plan.find(view.key, view.symbol)
            if entry is None:
                continue
            at = latest.get(entry)
            if at is None or not entry.has_room(open_requests[at][1], view.symbol):
                at = latest[entry] = len(open_requests)
                open_requests.append((entry, {}, []))
            claimed = view.rule.holds and view.claims(entry.options)
            epoch, seq = (view.rule.epoch, view.rule.seq) if claimed else (0, 0)
            open_requests[at][1][view.symbol] = {"epoch": epoch, "seq": seq}
            open_requests[at][2].append(view)
            view.strikes += 1
            view.asked_at = now
            self.counts.resyncs += 1
        return [self._ask(entry, since, views) for entry, since, views in open_requests]

    def expire(self, now: float) -> None:
        """Looks after what was asked for and did not come: it is due again."""
        for req_id, pending in list(self._pending.items()):
            if now - pending.made_at > ANSWER_WITHIN_S:
                del self._pending[req_id]
                self._again(pending, now)
        for view, since in list(self._awaited.items()):
            if now - since > ANSWER_WITHIN_S:
                del self._awaited[view]
                self._missing(view, now)

    def is_wanted(self, request: Json) -> bool:
        """Whether a request that waits is still of use: one that was superseded is not."""
        if request["method"] != "subscribe":
            return True
        pending = self._pending.get(request["req_id"])
        if pending is not None and pending.entry not in self.plan.entries:
            del self._pending[request["req_id"]]
            pending = None
        return pending is not None

    def sent(self, request: Json, now: float) -> bool:
        """A request is about to be sent: from now on its answer is awaited. False where it is of
        no use any more."""
        if not self.is_wanted(request):
            return False
        if request["method"] == "subscribe":
            self._pending[request["req_id"]].made_at = now
        return True

    def rights_changed(self) -> None:
        """A new token may allow what the old one did not: names that were refused with 4403 are
        asked for again."""
        denied, self._denied = self._denied, set()
        for key, pattern in denied:
            for owner in self.plan.owners_of_pattern(key, pattern):
                self.plan.restore(owner)
            for entry in self.plan.entries:
                if entry.key == key and pattern in entry.patterns:
                    entry.req_id = 0

    def unanswered(self) -> list[Entry]:
        """Requests that stand and have to be sent once more."""
        return [entry for entry in self.plan.entries if entry.req_id == 0]

    def send_again(self, entry: Entry) -> Json:
        """Repeats a request that was lost or refused for now."""
        return self._ask(entry, {})

    def _ask(
        self,
        entry: Entry,
        since: dict[str, Json],
        asks: "list[View[Any]] | None" = None,
    ) -> Json:
        request = self.request("subscribe", entry.params(since))
        entry.req_id = self._req_id
        self._pending[self._req_id] = Pending(entry, asks or [])
        for view in asks or []:
            view.asking = self._req_id
        return request

    def _again(self, pending: Pending, now: float) -> None:
        if pending.asks:
            for view in pending.asks:
                view.asking = None
                self._missing(view, now)
        elif pending.entry in self.plan.entries:
            pending.entry.req_id = 0

    # ------------------------------------------------------------ answers

    def _answered(self, message: Json, now: float) -> None:
        pending = self._pending.pop(message.get("req_id", -1), None)
        for view in pending.asks if pending else []:
            view.asking = None
        if message.get("success"):
            self._granted(pending, message["result"], now)
        else:
            self._refused(pending, message, now)

    def _granted(self, pending: Pending | None, result: Json, now: float) -> None:
        key = StreamKey(result["channel"], result.get("interval") or "")
        for failed in result.get("failed", []):
            failure = Failure(failed["code"], failed["error"])
            self._fail(key, failed["symbol"], failure)
        if pending is None:
            return
        entry = pending.entry
        names: list[str] = result.get("symbol", [])
        failures = {failed["symbol"] for failed in result.get("failed", [])}
        globs = {glob["pattern"] for glob in result.get("globs", [])}
        entry.waiting = {
            pattern
            for pattern in entry.patterns
            if pattern not in failures and pattern not in globs and not _named(pattern, names)
        }
        self._listener.granted(entry.owner, result)
        for view in self._views.get(key, {}).values():
            if self.plan.find(key, view.symbol) is entry:
                view.restrict(result)
        self._expect(entry, {*names, *self._statuses, *self._views.get(key, {})}, now)

    def _refused(self, pending: Pending | None, message: Json, now: float) -> None:
        failure = Failure(message["code"], message["error"])
        is_final = 4400 <= failure.code < 4500
        if pending is None:
            self._refused_late(message.get("req_id"), failure)
        elif not is_final:
            self._again(pending, now)
        else:
            entry = pending.entry
            self.plan.drop_entry(entry)
            for pattern in entry.patterns:
                self._fail(entry.key, pattern, failure)

    def _refused_late(self, req_id: object, failure: Failure) -> None:
        """A name that had to wait turned out not to exist: the error quotes it."""
        for entry in self.plan.entries:
            if entry.req_id == req_id:
                for pattern in list(entry.waiting):
                    if f'"{pattern}"' in failure.error:
                        entry.waiting.discard(pattern)
                        self._fail(entry.key, pattern, failure)

    def _fail(self, key: StreamKey, pattern: str, failure: Failure) -> None:
        if failure.code == NOT_ENTITLED:
            self._denied.add((key, pattern))
        owners = self.plan.owners_of_pattern(key, pattern) or self.plan.owners(key, pattern)
        for owner in owners:
            self._listener.failed(owner, pattern, failure)
        view = self._views.get(key, {}).get(pattern)
        if view is not None:
            self._release(view)

    def _release(self, view: View[Any]) -> None:
        self._views[view.key].pop(view.symbol, None)
        self._due.pop(view, None)
        self._awaited.pop(view, None)
        # Whoever still holds the view is told that nothing keeps it current.
        view.rule.forget()
        view.confirmed = False

    def _owners_changed(self, key: StreamKey) -> None:
        for view in self._views.get(key, {}).values():
            view.owners = None


def _named(pattern: str, names: list[str]) -> bool:
    return pattern in names or (
        ":" not in pattern and any(name.partition(":")[2] == pattern for name in names)
    )
