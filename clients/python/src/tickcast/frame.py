"""Trades and bars as pandas frames. The only file that imports pandas (extra `pandas`)."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import pandas

if TYPE_CHECKING:
    from tickcast.bars import Bar
    from tickcast.trades import Trade


def trades_frame(trades: "Sequence[Trade]", *, exact: bool) -> pandas.DataFrame:
    """Index `ts_event` (UTC); columns `seq`, `id`, `price`, `size`, `side`."""
    columns: dict[str, object] = {
        "seq": pandas.Series([trade.seq for trade in trades], dtype="int64"),
        "id": pandas.Series([trade.id for trade in trades], dtype="str"),
        "price": _numbers([trade.price for trade in trades], exact),
        "size": _numbers([trade.size for trade in trades], exact),
        "side": pandas.Series([trade.side for trade in trades], dtype="str"),
    }
    return _indexed(columns, "ts_event", [trade.ts_event for trade in trades])


def bars_frame(bars: "Sequence[Bar]", *, exact: bool) -> pandas.DataFrame:
    """Index `start` (UTC); columns `open`, `high`, `low`, `close`, `volume`, `trades`, `closed`."""
    columns: dict[str, object] = {
        "open": _numbers([bar.open for bar in bars], exact),
        "high": _numbers([bar.high for bar in bars], exact),
        "low": _numbers([bar.low for bar in bars], exact),
        "close": _numbers([bar.close for bar in bars], exact),
        "volume": _numbers([bar.volume for bar in bars], exact),
        "trades": pandas.Series([bar.trades for bar in bars], dtype="int64"),
        "closed": pandas.Series([bar.closed for bar in bars], dtype="bool"),
    }
    return _indexed(columns, "start", [bar.start for bar in bars])


def _numbers(values: list[Decimal], exact: bool) -> "pandas.Series[float]":
    if exact:
        return pandas.Series(values, dtype="object")
    return pandas.Series([float(value) for value in values], dtype="float64")


def _indexed(columns: dict[str, object], name: str, times_us: list[int]) -> pandas.DataFrame:
    times = pandas.Series(times_us, dtype="int64").astype("datetime64[us]")
    index = pandas.DatetimeIndex(times, name=name).tz_localize("UTC")
    return pandas.DataFrame(columns).set_index(index)
