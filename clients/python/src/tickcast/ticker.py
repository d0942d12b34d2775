"""The ticker of an instrument: best bid and ask, the last trade, the day."""

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from tickcast.exact import ExactField
from tickcast.view import View
from tickcast.words import TICKER_FIELDS, Json, StreamKey, TradingState


class Ticker:
    """A ticker at one moment. A field is None when it has no value, or was not subscribed to."""

    __slots__ = (
        "symbol", "epoch", "seq", "state", "ts_event", "ts_publish", "received_at", "_texts",
    )  # fmt: skip

    last = ExactField()
    last_size = ExactField()
    bid = ExactField()
    bid_size = ExactField()
    ask = ExactField()
    ask_size = ExactField()
    open = ExactField()
    high = ExactField()
    low = ExactField()
    volume = ExactField()

    def __init__(
        self,
        symbol: str,
        epoch: int,
        seq: int,
        state: TradingState,
        texts: Mapping[str, str | None],
        times: tuple[int, int, int],
    ) -> None:
        self.symbol = symbol
        self.epoch = epoch
        self.seq = seq
        self.state: TradingState = state
        self.ts_event, self.ts_publish, self.received_at = times
        self._texts = texts

    @property
    def stale(self) -> bool:
        """Whether the values may not be current."""
        return self.state in ("stale", "resync")

    @property
    def mid(self) -> Decimal | None:
        """Half-way between bid and ask."""
        bid, ask = self.bid, self.ask
        return None if bid is None or ask is None else (bid + ask) / 2

    @property
    def spread(self) -> Decimal | None:
        """Ask less bid."""
        bid, ask = self.bid, self.ask
        return None if bid is None or ask is None else ask - bid

    @property
    def texts(self) -> Mapping[str, str | None]:
        """The values as they were sent, by field."""
        return MappingProxyType(dict(self._texts))

    @property
    def raw(self) -> Json:
        """An item of `/v1/snapshot`: every number the text that was sent."""
        return {
            "symbol": self.symbol,
            "epoch": self.epoch,
            "seq": self.seq,
            "state": self.state,
            **self._texts,
            "ts_event": self.ts_event,
            "ts_publish": self.ts_publish,
        }

    def __repr__(self) -> str:
        values = " ".join(f"{name}={text}" for name, text in self._texts.items())
        return f"<Ticker {self.symbol} {self.state} {values} seq={self.seq}>"


class TickerView(View[Ticker]):
    """The ticker that is held."""

    __slots__ = ("texts", "ts_event")
    channel = "ticker"

    def __init__(self, symbol: str, key: StreamKey) -> None:
        super().__init__(symbol, key)
        self.texts: dict[str, str | None] = {}
        self.ts_event = 0

    def apply(self, item: Json, is_snapshot: bool, before: int | None) -> None:
        if is_snapshot:
            self.texts = {name: item[name] for name in TICKER_FIELDS if name in item}
        else:
            # Values share the mapping with what is held, so it is changed in a copy.
            texts = self.texts.copy()
            for name in item:
                if name in texts:
                    texts[name] = item[name]
            self.texts = texts
        self.ts_event = item["ts_event"]

    def claims(self, options: Json) -> bool:
        return set(options.get("fields") or TICKER_FIELDS) == self.texts.keys()

    def restrict(self, granted: Json) -> None:
        fields = granted.get("fields")
        if isinstance(fields, list) and not self.texts.keys() <= set(fields):
            self.texts = {name: text for name, text in self.texts.items() if name in fields}
            self._value = None

    def make(self, state: TradingState) -> Ticker:
        rule = self.rule
        times = (self.ts_event, self.ts_publish, self.received_at)
        return Ticker(self.symbol, rule.epoch, rule.seq, state, self.texts, times)

    def raw(self, state: TradingState) -> Json:
        return self.value(state).raw
