"""The trades of an instrument: a bounded ring of the latest, each with its own dense seq."""

from collections import deque
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from tickcast.view import Mark, View, Violation
from tickcast.words import Json, Side, StreamKey, TradingState

if TYPE_CHECKING:
    import pandas

TRADES_MAX = 1_000
"""How many trades are kept of an instrument; older ones are let go."""


class Trade:
    """One execution."""

    __slots__ = ("seq", "id", "side", "ts_event", "price_text", "size_text")

    def __init__(self, item: Json) -> None:
        self.seq: int = item["seq"]
        self.id: str = item["id"]
        self.side: Side = item["side"]
        self.ts_event: int = item["ts_event"]
        self.price_text: str = item["price"]
        self.size_text: str = item["size"]

    @property
    def price(self) -> Decimal:
        """At which price."""
        return Decimal(self.price_text)

    @property
    def size(self) -> Decimal:
        """How much."""
        return Decimal(self.size_text)

    @property
    def time(self) -> datetime:
        """When it traded, by the venue's clock."""
        return datetime.fromtimestamp(self.ts_event / 1_000_000, UTC)

    @property
    def raw(self) -> Json:
        """As it was sent."""
        return {
            "seq": self.seq,
            "id": self.id,
            "price": self.price_text,
            "size": self.size_text,
            "side": self.side,
            "ts_event": self.ts_event,
        }

    def __repr__(self) -> str:
        return f"<Trade {self.seq} {self.side} {self.size_text} @ {self.price_text}>"


class Trades:
    """The latest trades at one moment."""

    __slots__ = (
        "symbol", "epoch", "seq", "state", "trades", "fresh", "missed", "ts_publish", "received_at",
    )  # fmt: skip

    def __init__(
        self,
        symbol: str,
        mark: Mark,
        state: TradingState,
        trades: tuple[Trade, ...],
        fresh: tuple[Trade, ...],
        times: tuple[int, int],
    ) -> None:
        self.symbol = symbol
        self.epoch, self.seq, self.missed = mark
        self.state: TradingState = state
        self.trades = trades
        """Oldest first, at most TRADES_MAX."""
        self.fresh = fresh
        """Those that this consumer has not been given before."""
        self.ts_publish, self.received_at = times

    @property
    def stale(self) -> bool:
        """Whether there may be later ones."""
        return self.state in ("stale", "resync")

    @property
    def raw(self) -> Json:
        """An item of `/v1/snapshot`: every number the text that was sent."""
        return {
            "symbol": self.symbol,
            "epoch": self.epoch,
            "seq": self.seq,
            "state": self.state,
            "trades": [trade.raw for trade in self.trades],
            "ts_publish": self.ts_publish,
        }

    def frame(self, *, exact: bool = False) -> "pandas.DataFrame":
        """A pandas frame, a row for each trade; needs the extra `pandas`.

        Prices and sizes become floats to compute with, or with `exact` Decimals.
        """
        from tickcast.frame import trades_frame

        return trades_frame(self.trades, exact=exact)

    def __repr__(self) -> str:
        return (
            f"<Trades {self.symbol} {self.state} {len(self.trades)} kept, {len(self.fresh)} fresh,"
            f" {self.missed} missed, seq={self.seq}>"
        )


class TradesView(View[Trades]):
    """The trades that are held."""

    __slots__ = ("ring", "missed", "news")
    channel = "trades"

    def __init__(self, symbol: str, key: StreamKey) -> None:
        super().__init__(symbol, key)
        self.ring: deque[Trade] = deque(maxlen=TRADES_MAX)
        self.missed = 0
        """How many were certainly missed. What a new epoch leaves out cannot be known."""
        self.news = 0
        """How many of the ring came with the last message."""

    def apply(self, item: Json, is_snapshot: bool, before: int | None) -> None:
        sent: list[Json] = item["trades"]
        expected: int = item["seq"] - len(sent)
        for trade in sent:
            expected += 1
            if trade["seq"] != expected:
                raise Violation("the trades' seqs are not dense up to the item's own")
        mine = -1 if before is None else before
        fresh = sent if not sent or sent[0]["seq"] > mine else [t for t in sent if t["seq"] > mine]
        if before is not None:
            upto = fresh[0]["seq"] - 1 if fresh else item["seq"]
            self.missed += max(0, upto - before)
        if is_snapshot:
            self.ring.clear()
        self.ring.extend(map(Trade, sent if is_snapshot else fresh))
        self.news = len(fresh)

    def value_since(self, state: TradingState, mark: Mark | None) -> Trades:
        if mark is None or mark.epoch != self.rule.epoch:
            fresh = tuple(self.ring)
            return self._made(state, fresh, mark.missed if mark else 0)
        # Seqs are dense but for what was missed, so every seq without a trade is one of those.
        count = sum(1 for _ in takewhile(lambda trade: trade.seq > mark.seq, reversed(self.ring)))
        missed = max(0, self.rule.seq - mark.seq - count)
        return self._made(state, self._last(count), mark.missed + missed)

    def mark(self, value: Trades) -> Mark:
        return Mark(value.epoch, value.seq, value.missed)

    def make(self, state: TradingState) -> Trades:
        return self._made(state, self._last(self.news), self.missed)

    def raw(self, state: TradingState) -> Json:
        return self.value(state).raw

    def _last(self, count: int) -> tuple[Trade, ...]:
        return tuple(islice(self.ring, max(0, len(self.ring) - count), None))

    def _made(self, state: TradingState, fresh: tuple[Trade, ...], missed: int) -> Trades:
        mark = Mark(self.rule.epoch, self.rule.seq, missed)
        times = (self.ts_publish, self.received_at)
        return Trades(self.symbol, mark, state, tuple(self.ring), fresh, times)
