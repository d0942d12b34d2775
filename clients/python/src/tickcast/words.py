"""The protocol's words as types, and its limits as far as a client has to keep them."""

from typing import Any, Literal, NamedTuple, TypeAlias

Channel: TypeAlias = Literal["ticker", "trades", "book", "bars"]
"""What can be subscribed to."""

TradingState: TypeAlias = Literal["live", "stale", "resync", "halted", "closed"]
"""What can be expected of an instrument's data."""

Interval: TypeAlias = Literal["1s", "1m", "5m", "1h"]
"""How long a bar is."""

Depth: TypeAlias = Literal[10, 25, 100, 500]
"""How many levels a side a book has."""

Side: TypeAlias = Literal["buy", "sell"]
"""Who crossed."""

TickerField: TypeAlias = Literal[
    "last", "last_size", "bid", "bid_size", "ask", "ask_size", "open", "high", "low", "volume"
]
"""A value of a ticker."""

Json: TypeAlias = dict[str, Any]
"""A message, or a part of one, as it came."""

CHANNELS: tuple[Channel, ...] = ("ticker", "trades", "book", "bars")
INTERVALS: tuple[Interval, ...] = ("1s", "1m", "5m", "1h")
DEPTHS: tuple[Depth, ...] = (10, 25, 100, 500)
TICKER_FIELDS: tuple[TickerField, ...] = (
    "last", "last_size", "bid", "bid_size", "ask", "ask_size", "open", "high", "low", "volume",
)  # fmt: skip

SYMBOL_BYTES_MAX = 128
"""The longest name or pattern that a service reads."""

REQUEST_SYMBOLS_MAX = 500
"""Names and patterns of one request; a service reads twice as many."""

REQUEST_BYTES_MAX = 48 * 1024
"""How long a request may become, about; a service reads 64 KiB."""


class StreamKey(NamedTuple):
    """What an instrument is subscribed to on: a channel, of `bars` each interval by itself."""

    channel: Channel
    interval: str = ""
