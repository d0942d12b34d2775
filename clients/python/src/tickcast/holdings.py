"""What is held of all instruments: a view per stream, and the instruments' states."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tickcast.bars import BarsView
from tickcast.book import BookView
from tickcast.rule import Rule
from tickcast.ticker import TickerView
from tickcast.trades import TradesView
from tickcast.view import View
from tickcast.words import StreamKey, TradingState

VIEWS: dict[str, type[View[Any]]] = {
    "ticker": TickerView,
    "trades": TradesView,
    "book": BookView,
    "bars": BarsView,
}


@dataclass(slots=True)
class Status:
    """The state of an instrument as told on this connection."""

    rule: Rule
    state: TradingState = "resync"


class Holdings:
    """Views and states of one client; `is_live` says whether anything keeps them current."""

    def __init__(self, *, verify_checksums: bool) -> None:
        self.is_live = False
        self.by_key: dict[StreamKey, dict[str, View[Any]]] = {}
        self.status: dict[str, Status] = {}
        self._verify = verify_checksums

    def find(self, key: StreamKey, symbol: str) -> View[Any] | None:
        """The view of a stream, also while nothing is held in it."""
        views = self.by_key.get(key)
        return views.get(symbol) if views is not None else None

    def view(self, key: StreamKey, symbol: str) -> View[Any] | None:
        """The stream of an instrument; a bare symbol will do where just one venue has it."""
        views = self.by_key.get(key, {})
        found = views.get(symbol)
        if found is None and ":" not in symbol:
            bare = [view for name, view in views.items() if name.partition(":")[2] == symbol]
            found = bare[0] if len(bare) == 1 else None
        return found if found is not None and found.rule.holds else None

    def views(self, key: StreamKey) -> Iterator[View[Any]]:
        """Every stream of a channel of which something is held."""
        return (view for view in self.by_key.get(key, {}).values() if view.rule.holds)

    def state_of(self, view: View[Any]) -> TradingState:
        """What can be expected of a stream's values: the instrument's status, unless they may be
        old for a reason of our own."""
        if not self.is_live or not (view.confirmed or view.gap):
            return "stale"
        if view.gap:
            return "resync"
        status = self.status.get(view.symbol)
        return status.state if status is not None else view.told_state

    def status_of(self, symbol: str) -> TradingState | None:
        """The state of an instrument; None where nothing was told of it."""
        status = self.status.get(symbol)
        if status is None:
            return None
        return status.state if self.is_live else "stale"

    def statuses(self) -> dict[str, TradingState]:
        """The state of every instrument that is subscribed to."""
        return {symbol: self.status_of(symbol) or "stale" for symbol in self.status}

    def begin(self, key: StreamKey, symbol: str) -> View[Any]:
        """The view of a stream, a new one where there is none."""
        views = self.by_key.setdefault(key, {})
        view = views.get(symbol)
        if view is None:
            view = views[symbol] = VIEWS[key.channel](symbol, key)
            if isinstance(view, BookView):
                view.verify = self._verify
        return view

    def of_symbol(self, symbol: str) -> Iterator[View[Any]]:
        """Every view of an instrument."""
        return (views[symbol] for views in self.by_key.values() if symbol in views)

    def all(self) -> Iterator[View[Any]]:
        """Every view."""
        return (view for views in self.by_key.values() for view in views.values())
