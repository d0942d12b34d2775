"""The bars of an instrument and an interval: open, high, low, close, volume."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from tickcast.view import Mark, View
from tickcast.words import Json, StreamKey, TradingState

if TYPE_CHECKING:
    import pandas

BARS_MAX = 5_000
"""How many bars are kept of an instrument and interval; older ones are let go."""


class Bar:
    """One bar; `closed` says that its interval is over (a late trade may still change it)."""

    __slots__ = ("start", "trades", "closed", "_texts")

    def __init__(self, item: Json) -> None:
        self.start: int = item["start"]
        self.trades: int = item["trades"]
        self.closed: bool = item["closed"]
        self._texts: tuple[str, str, str, str, str] = (
            item["open"], item["high"], item["low"], item["close"], item["volume"],
        )  # fmt: skip

    @property
    def open(self) -> Decimal:
        """The first price."""
        return Decimal(self._texts[0])

    @property
    def high(self) -> Decimal:
        """The highest price."""
        return Decimal(self._texts[1])

    @property
    def low(self) -> Decimal:
        """The lowest price."""
        return Decimal(self._texts[2])

    @property
    def close(self) -> Decimal:
        """The last price."""
        return Decimal(self._texts[3])

    @property
    def volume(self) -> Decimal:
        """The sizes of all trades together."""
        return Decimal(self._texts[4])

    @property
    def time(self) -> datetime:
        """When it began."""
        return datetime.fromtimestamp(self.start / 1_000_000, UTC)

    @property
    def raw(self) -> Json:
        """As it was sent."""
        names = ("open", "high", "low", "close", "volume")
        texts = dict(zip(names, self._texts, strict=True))
        return {"start": self.start, **texts, "trades": self.trades, "closed": self.closed}

    def __repr__(self) -> str:
        return f"<Bar {self.time:%Y-%m-%dT%H:%M:%SZ} {'/'.join(self._texts)} {self.trades} trades>"


class Bars:
    """The bars at one moment."""

    __slots__ = (
        "symbol", "interval", "epoch", "seq", "state", "bars", "changed", "ts_publish",
        "received_at",
    )  # fmt: skip

    def __init__(self, view: "BarsView", state: TradingState, changed: tuple[Bar, ...]) -> None:
        self.symbol = view.symbol
        self.interval = view.key.interval
        self.epoch = view.rule.epoch
        self.seq = view.rule.seq
        self.state: TradingState = state
        self.bars = view.all()
        """Oldest first, at most BARS_MAX."""
        self.changed = changed
        """Those that changed since the value that this consumer was given before."""
        self.ts_publish = view.ts_publish
        self.received_at = view.received_at

    @property
    def stale(self) -> bool:
        """Whether the bars may not be current."""
        return self.state in ("stale", "resync")

    @property
    def raw(self) -> Json:
        """An item of `/v1/snapshot`: every number the text that was sent."""
        return {
            "symbol": self.symbol,
            "interval": self.interval,
            "epoch": self.epoch,
            "seq": self.seq,
            "state": self.state,
            "bars": [bar.raw for bar in self.bars],
            "ts_publish": self.ts_publish,
        }

    def frame(self, *, exact: bool = False) -> "pandas.DataFrame":
        """A pandas frame, a row for each bar; needs the extra `pandas`.

        Prices and volumes become floats to compute with, or with `exact` Decimals.
        """
        from tickcast.frame import bars_frame

        return bars_frame(self.bars, exact=exact)

    def __repr__(self) -> str:
        return (
            f"<Bars {self.symbol} {self.interval} {self.state} {len(self.bars)} kept,"
            f" {len(self.changed)} changed, seq={self.seq}>"
        )


class BarsView(View[Bars]):
    """The bars that are held."""

    __slots__ = ("bars", "stamps", "news", "_all")
    channel = "bars"

    def __init__(self, symbol: str, key: StreamKey) -> None:
        super().__init__(symbol, key)
        self.bars: dict[int, Bar] = {}
        self.stamps: dict[int, int] = {}
        """The seq at which each bar last changed; the latest change last."""
        self.news: tuple[int, ...] = ()
        self._all: tuple[Bar, ...] | None = ()

    def apply(self, item: Json, is_snapshot: bool, before: int | None) -> None:
        if is_snapshot:
            self.bars.clear()
            self.stamps.clear()
        seq: int = item["seq"]
        last = next(reversed(self.bars), -1)
        in_order = True
        for sent in item["bars"]:
            bar = Bar(sent)
            if bar.start > last:
                last = bar.start
            elif bar.start not in self.bars:
                in_order = False
            self.bars[bar.start] = bar
            self.stamps.pop(bar.start, None)
            self.stamps[bar.start] = seq
        if not in_order:
            self.bars = dict(sorted(self.bars.items()))
        while len(self.bars) > BARS_MAX:
            oldest = next(iter(self.bars))
            del self.bars[oldest], self.stamps[oldest]
        self.news = tuple(sent["start"] for sent in item["bars"])
        self._all = None

    def all(self) -> tuple[Bar, ...]:
        """Every bar, oldest first; the same tuple until one changes."""
        if self._all is None:
            self._all = tuple(self.bars.values())
        return self._all

    def value_since(self, state: TradingState, mark: Mark | None) -> Bars:
        if mark is None or mark.epoch != self.rule.epoch:
            return Bars(self, state, self.all())
        changed = []
        for start, seq in reversed(self.stamps.items()):
            if seq <= mark.seq:
                break
            changed.append(start)
        return Bars(self, state, tuple(self.bars[start] for start in sorted(changed)))

    def mark(self, value: Bars) -> Mark:
        return Mark(value.epoch, value.seq)

    def make(self, state: TradingState) -> Bars:
        news = (self.bars[start] for start in self.news if start in self.bars)
        return Bars(self, state, tuple(news))

    def raw(self, state: TradingState) -> Json:
        return self.value(state).raw
