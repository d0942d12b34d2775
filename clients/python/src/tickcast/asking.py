"""What is asked of the service and not yet answered: subscriptions, and what was found missing.

Knows no clock: the time is an argument. Whoever keeps answering wrongly is asked ever more slowly.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tickcast.errors import NOT_ENTITLED, Failure
from tickcast.holdings import Holdings
from tickcast.plan import Entry, Plan
from tickcast.view import NOWHERE, View
from tickcast.words import Json, StreamKey, TradingState

ASK_AGAIN_BASE_S = 0.1
ASK_AGAIN_MAX_S = 2.0
STRIKES_FORGOTTEN_AFTER_S = 10.0
ANSWER_WITHIN_S = 5.0


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
class Pending:
    """A subscribe request that was made and not answered."""

    entry: Entry
    asks: list[View[Any]] = field(default_factory=list)
    made_at: float = math.inf
    """When it was sent; until then nothing is awaited."""


class Asking:
    """The requests of one client."""

    def __init__(self, plan: Plan, holdings: Holdings, listener: Listener) -> None:
        self.resyncs = 0
        """Streams that were asked for again."""
        self._plan = plan
        self._holdings = holdings
        self._listener = listener
        self._due: dict[View[Any], float] = {}
        self._pending: dict[int, Pending] = {}
        self._awaited: dict[View[Any], float] = {}
        self._denied: set[tuple[StreamKey, str]] = set()
        self._req_id = 0

    def request(self, method: str, params: Json | None = None) -> Json:
        """A request of any kind with a number of its own."""
        self._req_id += 1
        request: Json = {"method": method, "req_id": self._req_id}
        if params is not None:
            request["params"] = params
        return request

    def forget(self) -> None:
        """Begins anew: on another connection nothing is asked yet."""
        self._due.clear()
        self._pending.clear()
        self._awaited.clear()
        for view in self._holdings.all():
            view.asking = None

    # ------------------------------------------------------------ what is missing

    def applied(self, view: View[Any]) -> None:
        """Something was taken over: whether that closes a gap, its place says."""
        rule = view.rule
        if not view.gap:
            if not view.confirmed:
                self._sound(view)
        elif (rule.epoch, rule.seq) >= view.behind:
            self._sound(view)

    def answers(self, view: View[Any]) -> bool:
        """An update without any change says that nothing is missing, where one is awaited."""
        rule = view.rule
        if view not in self._awaited or (rule.epoch, rule.seq) < view.behind:
            return False
        self._sound(view)
        return True

    def missing(self, view: View[Any], now: float, place: tuple[int, int] = NOWHERE) -> None:
        """Something is missing: to be asked for again, unless that is under way."""
        view.behind = max(view.behind, place)
        if not view.gap:
            view.gap = True
            if view.rule.holds:
                self._listener.changed(view)
        self.ask_for(view, now)

    def ask_for(self, view: View[Any], now: float) -> None:
        """Asks again when its turn comes, unless that is under way."""
        if view.asking is None and view not in self._due:
            if now - view.asked_at > STRIKES_FORGOTTEN_AFTER_S:
                view.strikes = 0
            wait = ASK_AGAIN_BASE_S * 2 ** (view.strikes - 1) if view.strikes else 0.0
            self._due[view] = now + min(wait, ASK_AGAIN_MAX_S)

    def _sound(self, view: View[Any]) -> None:
        view.confirmed = True
        view.gap = False
        view.behind = NOWHERE
        self._due.pop(view, None)
        self._awaited.pop(view, None)

    def expect(self, entry: Entry, symbols: Iterable[str], now: float) -> None:
        """The first messages of these instruments have to come."""
        for symbol in symbols:
            if self._plan.find(entry.key, symbol) is entry:
                view = self._holdings.begin(entry.key, symbol)
                if not view.confirmed or view.gap:
                    self._awaited[view] = now

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
            entry = self._plan.find(view.key, view.symbol)
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
            self.resyncs += 1
        return [self.ask(entry, since, views) for entry, since, views in open_requests]

    def expire(self, now: float) -> None:
        """Looks after what was asked for and did not come: it is due again."""
        for req_id, pending in list(self._pending.items()):
            if now - pending.made_at > ANSWER_WITHIN_S:
                del self._pending[req_id]
                self._again(pending, now)
        for view, since in list(self._awaited.items()):
            if now - since > ANSWER_WITHIN_S:
                del self._awaited[view]
                self.missing(view, now)

    def is_wanted(self, request: Json) -> bool:
        """Whether a request that waits is still of use: one that was superseded is not."""
        if request["method"] != "subscribe":
            return True
        pending = self._pending.get(request["req_id"])
        if pending is not None and pending.entry not in self._plan.entries:
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
            for owner in self._plan.owners_of_pattern(key, pattern):
                self._plan.restore(owner)
            for entry in self._plan.entries:
                if entry.key == key and pattern in entry.patterns:
                    entry.req_id = 0

    def unanswered(self) -> list[Entry]:
        """Requests that stand and have to be sent once more."""
        return [entry for entry in self._plan.entries if entry.req_id == 0]

    def send_again(self, entry: Entry) -> Json:
        """Repeats a request that was lost or refused for now."""
        return self.ask(entry, {})

    def ask(
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
                self.missing(view, now)
        elif pending.entry in self._plan.entries:
            pending.entry.req_id = 0

    # ------------------------------------------------------------ answers

    def answered(self, message: Json, now: float) -> None:
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
        known = {*names, *(name.partition(":")[2] for name in names)}
        entry.waiting = set(entry.patterns) - failures - globs - known
        self._listener.granted(entry.owner, result)
        for view in self._holdings.by_key.get(key, {}).values():
            if self._plan.find(key, view.symbol) is entry:
                view.restrict(result)
        self.expect(
            entry, {*names, *self._holdings.status, *self._holdings.by_key.get(key, {})}, now
        )

    def _refused(self, pending: Pending | None, message: Json, now: float) -> None:
        failure = Failure(message["code"], message["error"])
        is_final = 4400 <= failure.code < 4500
        if pending is None:
            self._refused_late(message.get("req_id"), failure)
        elif not is_final:
            self._again(pending, now)
        else:
            entry = pending.entry
            self._plan.drop_entry(entry)
            for pattern in entry.patterns:
                self._fail(entry.key, pattern, failure)

    def _refused_late(self, req_id: object, failure: Failure) -> None:
        """A name that had to wait turned out not to exist: the error quotes it."""
        for entry in self._plan.entries:
            if entry.req_id == req_id:
                for pattern in list(entry.waiting):
                    if f'"{pattern}"' in failure.error:
                        entry.waiting.discard(pattern)
                        self._fail(entry.key, pattern, failure)

    def _fail(self, key: StreamKey, pattern: str, failure: Failure) -> None:
        if failure.code == NOT_ENTITLED:
            self._denied.add((key, pattern))
        owners = self._plan.owners_of_pattern(key, pattern) or self._plan.owners(key, pattern)
        for owner in owners:
            self._listener.failed(owner, pattern, failure)
        view = self._holdings.by_key.get(key, {}).get(pattern)
        if view is not None:
            self.release(view)

    def release(self, view: View[Any]) -> None:
        self._holdings.by_key[view.key].pop(view.symbol, None)
        self._due.pop(view, None)
        self._awaited.pop(view, None)
        # Whoever still holds the view is told that nothing keeps it current.
        view.rule.forget()
        view.confirmed = False
