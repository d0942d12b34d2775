"""tickcast: live market data in five lines.

    async with tickcast.connect("ws://127.0.0.1:8080") as tick:
        async for t in tick.ticker(["coinbase:BTC-USD"], max_rate=5):
            print(t.symbol, t.last, t.state)

A map of the package: `client` is what you hold, `subscription` and `updates` what you iterate;
`session` holds everything by the client's `rule` in a view per stream (`ticker`, `trades`,
`book`, `bars`) and knows neither socket nor clock; `keeper` keeps a connection over a
`websocket_link` or an `sse_link` and comes back after a loss.
"""

from tickcast.backoff import Backoff
from tickcast.bars import Bar, Bars
from tickcast.book import Book, Level
from tickcast.client import Pong, Tickcast, connect
from tickcast.connection import Connection, ConnectionState, Goaway, Reason, Stats
from tickcast.errors import (
    ClosedError,
    Failure,
    NotLiveError,
    RequestError,
    SubscriptionError,
    TickcastError,
)
from tickcast.rest import Instrument
from tickcast.subscription import Granted, Subscription
from tickcast.ticker import Ticker
from tickcast.trades import Trade, Trades
from tickcast.updates import Updates
from tickcast.words import Channel, Depth, Interval, Side, TickerField, TradingState

__version__ = "0.1.0"

__all__ = [
    "Backoff", "Bar", "Bars", "Book", "Channel", "ClosedError", "Connection", "ConnectionState",
    "Depth", "Failure", "Goaway", "Granted", "Instrument", "Interval", "Level", "NotLiveError",
    "Pong", "Reason", "RequestError", "Side", "Stats", "Subscription", "SubscriptionError",
    "Tickcast", "TickcastError", "Ticker", "TickerField", "Trade", "Trades", "TradingState",
    "Updates", "__version__", "connect",
]  # fmt: skip
