"""What is asked of the service: subscriptions that begin or end, what was found missing, and what
has not been answered yet.

Requests are written when they can be sent, so that whatever was wished for meanwhile goes into few
of them. Knows no clock: the time is an argument. Whoever keeps answering wrongly is asked ever
more slowly.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tickcast.batch import Batch, Claim, gather
from tickcast.errors import NOT_ENTITLED, Failure
from tickcast.holdings import Holdings
from tickcast.plan import Entry, Plan
from tickcast.view import NOWHERE, View
from tickcast.words import (
    REQUEST_BYTES_MAX,
    REQUEST_SYMBOLS_MAX,
    Json,
    StreamKey,
    TradingState,
)

ASK_AGAIN_BASE_S = 0.1
ASK_AGAIN_MAX_S = 2.0
STRIKES_FORGOTTEN_AFTER_S = 10.0
ANSWER_WITHIN_S = 5.0
REFUSED_BASE_S = 0.5
REFUSED_MAX_S = 30.0
"""After a refusal that passes nothing is asked for so long; it doubles up to the maximum."""


class Listener(Protocol):
    """Who is told what changed."""

    def changed(self, view: View[Any]) -> None:
        """A stream's values or state changed."""

    def status(self, symbol: str, state: TradingState) -> None:
        """An instrument's state changed."""

    def granted(self, owner: int, result: Json, is_own: bool) -> None:
        """A subscription, or a part of it, was granted; with another's options where not
        `is_own`."""

    def failed(self, owner: int, pattern: str, failure: Failure) -> None:
        """A name or pattern of a subscription is not served."""


@dataclass(slots=True)
class Pending:
    """A subscribe request that was made and not answered."""

    entries: list[Entry]
    made_at: float
    asks: list[View[Any]] = field(default_factory=list)
    """Streams that are asked for again."""


class Asking:
    """The requests of one client."""

    def __init__(self, plan: Plan, holdings: Holdings, listener: Listener) -> None:
        self.resyncs = 0
        """Streams that were asked for again."""
        self.request_bytes_max = REQUEST_BYTES_MAX
        self._plan = plan
        self._holdings = holdings
        self._listener = listener
        self._due: dict[View[Any], float] = {}
        self._pending: dict[int, Pending] = {}
        self._awaited: dict[View[Any], float] = {}
        self._denied: set[tuple[StreamKey, str]] = set()
        self._said: set[tuple[StreamKey, str]] = set()
        self._ended: dict[StreamKey, dict[str, None]] = {}
        self._hold_until = 0.0
        self._refusals = 0
        self._companies = 0
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
        self._said.clear()
        self._ended.clear()
        self._hold_until = 0.0
        self._refusals = 0
        for view in self._holdings.all():
            view.asking = None

    def end(self, key: StreamKey, patterns: Iterable[str]) -> None:
        """Has these unsubscribed from, where the service knows of them."""
        ended = self._ended.setdefault(key, {})
        ended.update((pattern, None) for pattern in patterns if (key, pattern) in self._said)
        if not ended:
            del self._ended[key]

    def next_at(self) -> float | None:
        """When there is something to ask; None where there is nothing."""
        if self._ended or self._plan.unsaid:
            return self._hold_until
        at = min(self._due.values(), default=None)
        return None if at is None else max(at, self._hold_until)

    def take(self, now: float) -> Json | None:
        """The next request, to be sent at once. What was ended goes first: what began again
        meanwhile begins anew."""
        if now < self._hold_until:
            return None
        return self._ending() or self._beginning(now) or self._ask_again(now)

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

    def expect(self, view: View[Any], now: float) -> None:
        """The first message of this stream has to come."""
        if not view.confirmed or view.gap:
            self._awaited[view] = now

    # ------------------------------------------------------------ requests

    def _ending(self) -> Json | None:
        for key, ended in self._ended.items():
            names = list(ended)[:REQUEST_SYMBOLS_MAX]
            for name in names:
                del ended[name]
                self._said.discard((key, name))
            if not ended:
                del self._ended[key]
            params: Json = {"channel": key.channel, "symbol": names}
            if key.interval:
                params["interval"] = key.interval
            return self.request("unsubscribe", params)
        return None

    def _beginning(self, now: float) -> Json | None:
        unsaid = [entry for entry in self._plan.entries if entry in self._plan.unsaid]
        claims: dict[Entry, list[Claim]] = {entry: [] for entry in unsaid if entry.resumes}
        for view in self._holdings.all() if claims else ():
            entry = self._plan.find(view.key, view.symbol)
            if entry in claims and view.rule.holds and view.claims(entry.options):
                claims[entry].append(_claim(view, entry))
        for batch in gather(unsaid, lambda entry: claims.get(entry, []), self.request_bytes_max):
            return self._subscribe(batch, now, [])
        return None

    def _ask_again(self, now: float) -> Json | None:
        """Repeats what is due, same patterns and options, with `since` for the streams concerned
        and no others."""
        due: dict[Entry, dict[str, View[Any]]] = {}
        for view in [view for view, at in self._due.items() if at <= now]:
            entry = self._plan.find(view.key, view.symbol)
            if entry is None:
                del self._due[view]
            else:
                due.setdefault(entry, {})[view.symbol] = view

        def claims_of(entry: Entry) -> list[Claim]:
            return [_claim(view, entry) for view in due[entry].values()]

        for batch in gather(due, claims_of, self.request_bytes_max):
            asks = [due[e][name] for e in batch.entries for name in due[e] if name in batch.since]
            for view in asks:
                del self._due[view]
                view.strikes += 1
                view.asked_at = now
            self.resyncs += len(asks)
            return self._subscribe(batch, now, asks)
        return None

    def _subscribe(self, batch: Batch, now: float, asks: list[View[Any]]) -> Json:
        request = self.request("subscribe", batch.params())
        self._pending[self._req_id] = Pending(batch.entries, now, asks)
        for entry in batch.entries:
            entry.req_id = self._req_id
            self._plan.unsaid.discard(entry)
            self._said.update((entry.key, pattern) for pattern in entry.patterns)
        for view in asks:
            view.asking = self._req_id
        return request

    # ------------------------------------------------------------ what did not come

    def expire(self, now: float) -> None:
        """Looks after what was asked for and did not come: it is due again."""
        for req_id, pending in list(self._pending.items()):
            if now - pending.made_at > ANSWER_WITHIN_S:
                del self._pending[req_id]
                for view in pending.asks:
                    view.asking = None
                self._again(req_id, pending, now)
        for view, since in list(self._awaited.items()):
            if now - since > ANSWER_WITHIN_S:
                del self._awaited[view]
                self.missing(view, now)

    def rights_changed(self) -> None:
        """A new token may allow what the old one did not: names that were refused with 4403 are
        asked for again."""
        denied, self._denied = self._denied, set()
        for key, pattern in denied:
            for owner in self._plan.owners_of_pattern(key, pattern):
                self._plan.restore(owner)
            entry = self._plan.saying(key, pattern)
            if entry is not None:
                self._plan.unsaid.add(entry)

    def _again(self, req_id: int, pending: Pending, now: float) -> None:
        """A request has come to nothing: what it was for is asked again."""
        for view in pending.asks:
            self.missing(view, now)
        for entry in pending.entries if not pending.asks else ():
            if entry in self._plan.entries and entry.req_id == req_id:
                self._plan.unsaid.add(entry)

    # ------------------------------------------------------------ answers

    def answered(self, message: Json, now: float) -> None:
        req_id: int = message.get("req_id", -1)
        pending = self._pending.pop(req_id, None)
        for view in pending.asks if pending else []:
            view.asking = None
        if message.get("success"):
            self._granted(pending, message["result"], now)
            return
        failure = Failure(message["code"], message["error"])
        if pending is None:
            self._refused_late(failure)
        else:
            self._refused(req_id, pending, failure, now)

    def _granted(self, pending: Pending | None, result: Json, now: float) -> None:
        key = StreamKey(result["channel"], result.get("interval") or "")
        failures = {one["symbol"]: Failure(one["code"], one["error"]) for one in result.get("failed", [])}
        for pattern, failure in failures.items():
            self._fail(key, pattern, failure)
        if pending is None:
            return
        self._refusals = 0
        names: list[str] = result.get("symbol", [])
        globs = {glob["pattern"] for glob in result.get("globs", [])}
        known = {*names, *(name.partition(":")[2] for name in names)}
        for entry in pending.entries:
            entry.resumes = False
            entry.waiting = set(entry.patterns) - failures.keys() - globs - known
            self._tell(entry, result)
        entries = set(pending.entries)
        views = self._holdings.by_key.get(key, {})
        for symbol in {*names, *self._holdings.status, *views}:
            if self._plan.find(key, symbol) in entries:
                if symbol in views:
                    views[symbol].restrict(result)
                self.expect(self._holdings.begin(key, symbol), now)

    def _tell(self, entry: Entry, result: Json) -> None:
        """Tells everybody who has these patterns of their part in what was granted."""
        owners: dict[int, list[str]] = {}
        for pattern in entry.patterns:
            for owner in self._plan.owners_of_pattern(entry.key, pattern):
                owners.setdefault(owner, []).append(pattern)
        by_pattern: dict[str, list[str]] = {}
        for name in result.get("symbol", []):
            for meant in {name, name.partition(":")[2]}:
                by_pattern.setdefault(meant, []).append(name)
        globs = {glob["pattern"]: glob for glob in result.get("globs", [])}
        for owner, patterns in owners.items():
            part = {
                **result,
                "symbol": [name for one in patterns for name in by_pattern.get(one, [])],
                "globs": [globs[one] for one in patterns if one in globs],
            }
            self._listener.granted(owner, part, owner == entry.owner)

    def _refused(self, req_id: int, pending: Pending, failure: Failure, now: float) -> None:
        entries = [entry for entry in pending.entries if entry in self._plan.entries]
        if not 4400 <= failure.code < 4500:
            self._hold_until = now + min(REFUSED_BASE_S * 2**self._refusals, REFUSED_MAX_S)
            self._refusals = min(self._refusals + 1, 16)
            self._again(req_id, pending, now)
        elif len(entries) > 1:
            # Whose fault it is was not said: each half is asked for by itself.
            half = len(entries) // 2
            for company in (entries[:half], entries[half:]):
                self._companies += 1
                for entry in company:
                    entry.company = self._companies
                    self._plan.unsaid.add(entry)
            for view in pending.asks:
                self.missing(view, now)
        else:
            for entry in entries:
                patterns = list(entry.patterns)
                self._plan.drop_entry(entry)
                for pattern in patterns:
                    self._said.discard((entry.key, pattern))
                    self._fail(entry.key, pattern, failure)

    def _refused_late(self, failure: Failure) -> None:
        """A name that had to wait turned out not to exist: the error quotes it, and repeats no
        `req_id`."""
        for entry in self._plan.entries:
            for pattern in sorted(entry.waiting):
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


def _claim(view: View[Any], entry: Entry) -> Claim:
    """Where a stream stands; nowhere, unless what is held is just what the entry asks for."""
    if view.rule.holds and view.claims(entry.options):
        return Claim(view.symbol, view.rule.epoch, view.rule.seq)
    return Claim(view.symbol, 0, 0)
