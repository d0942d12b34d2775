"""Data messages of the binary encoding: streams by their numbers, mantissas as decimal texts."""

from dataclasses import dataclass

from tickcast.protobuf_wire import (
    decimal_text,
    inner,
    number,
    scan,
    signed,
    text,
    zigzag,
    zigzags,
)
from tickcast.words import INTERVALS, TICKER_FIELDS, Json

STATES = (None, "live", "stale", "resync", "halted", "closed")
SIDES = ("buy", "sell")
STREAMS_MAX = 200_000
"""How many streams a connection may open; a service has tens of thousands at most."""

VOLUME, VOLUME_HIGH, EMPTIED, OPENING = 15, 16, 17, 18
FIRST_VALUE = 6
"""The number of `last`; the other prices and sizes follow as in TICKER_FIELDS."""


@dataclass(slots=True)
class Stream:
    """What the number of a stream stands for."""

    symbol: str
    epoch: int
    price_scale: int
    size_scale: int
    volume_scale: int
    depth: int
    interval: str
    scales: tuple[int, ...]
    """The scale of each field of a ticker."""


class Streams:
    """The streams that a connection has opened."""

    def __init__(self) -> None:
        self._streams: dict[int, Stream] = {}

    def ticker(self, data: bytes) -> Json:
        """A ticker."""
        item: Json = {}
        stream = volume = None
        seq = skipped = ts_event = delta = emptied = volume_high = 0
        opening = b""
        values: list[tuple[int, int]] = []
        for field, value in scan(data):
            if isinstance(value, bytes):
                if field == OPENING:
                    opening = value
            elif field == 1:
                stream = value
            elif field == 2:
                seq = value
            elif field == 3:
                skipped = zigzag(value)
            elif field == 4:
                ts_event = signed(value)
            elif field == 5:
                delta = zigzag(value)
            elif field == VOLUME:
                volume = value
            elif field == VOLUME_HIGH:
                volume_high = value
            elif field == EMPTIED:
                emptied = value
            elif FIRST_VALUE <= field < VOLUME:
                values.append((field - FIRST_VALUE, signed(value)))
        known = self._opened(stream, opening, item)
        if known is None:
            return _unopened("ticker")
        kind = _begin(item, known, seq, skipped, opening)
        scales = known.scales
        for at, mantissa in values:
            item[TICKER_FIELDS[at]] = decimal_text(mantissa, scales[at])
        if volume is not None:
            item["volume"] = decimal_text((volume_high << 64) + volume, known.volume_scale)
        if emptied:
            for at, name in enumerate(TICKER_FIELDS):
                if emptied >> at & 1:
                    item[name] = None
        item["ts_event"] = ts_event
        item["ts_publish"] = ts_event + delta
        return {"channel": "ticker", "type": kind, "data": [item]}

    def book(self, data: bytes) -> Json:
        """A book."""
        item: Json = {}
        stream = None
        seq = skipped = ts_event = delta = checksum = 0
        opening = bids = asks = b""
        for field, value in scan(data):
            if field == 1:
                stream = number(value)
            elif field == 2:
                seq = number(value)
            elif field == 3:
                skipped = zigzag(number(value))
            elif field == 4:
                ts_event = signed(number(value))
            elif field == 5:
                delta = zigzag(number(value))
            elif field == 6:
                bids += inner(value)
            elif field == 7:
                asks += inner(value)
            elif field == 8:
                checksum = int.from_bytes(inner(value), "little")
            elif field == OPENING:
                opening = inner(value)
        known = self._opened(stream, opening, item)
        if known is None:
            return _unopened("book")
        item["depth"] = known.depth
        kind = _begin(item, known, seq, skipped, opening)
        item["bids"] = _levels(bids, known)
        item["asks"] = _levels(asks, known)
        item["checksum"] = checksum
        item["ts_event"] = ts_event
        item["ts_publish"] = ts_event + delta
        return {"channel": "book", "type": kind, "data": [item]}

    def trades(self, data: bytes) -> Json:
        """Trades."""
        return self._rows("trades", data)

    def bars(self, data: bytes) -> Json:
        """Bars."""
        return self._rows("bars", data)

    def _rows(self, channel: str, data: bytes) -> Json:
        item: Json = {}
        stream = None
        seq = skipped = ts_publish = 0
        opening = b""
        rows: list[bytes] = []
        for field, value in scan(data):
            if field == 1:
                stream = number(value)
            elif field == 2:
                seq = number(value)
            elif field == 3:
                skipped = zigzag(number(value))
            elif field == 4:
                ts_publish = signed(number(value))
            elif field == 6:
                rows.append(inner(value))
            elif field == OPENING:
                opening = inner(value)
        known = self._opened(stream, opening, item)
        if known is None:
            return _unopened(channel)
        if channel == "bars":
            item["interval"] = known.interval
        kind = _begin(item, known, seq, skipped, opening)
        if channel == "bars":
            item["bars"] = [_bar(row, known) for row in rows]
        else:
            item["trades"] = [_trade(row, known, seq, ts_publish) for row in rows]
        item["ts_publish"] = ts_publish
        return {"channel": channel, "type": kind, "data": [item]}

    def _opened(self, stream: int | None, opening: bytes, item: Json) -> Stream | None:
        """The stream of an item, which its opening may have to tell first."""
        if opening:
            if len(self._streams) >= STREAMS_MAX:
                raise ValueError(f"more than {STREAMS_MAX} streams")
            known, state = _opening(opening)
            self._streams[stream or 0] = known
            if state is not None:
                item["state"] = state
        else:
            known_before = self._streams.get(stream or 0)
            if known_before is None:
                return None
            known = known_before
        item["symbol"] = known.symbol
        item["epoch"] = known.epoch
        return known


def _unopened(channel: str) -> Json:
    """An update of a stream whose opening never came: the session has to ask again."""
    return {"channel": channel, "type": "unopened"}


def _opening(data: bytes) -> tuple[Stream, str | None]:
    """The stream that is opened, and the state if that is by a snapshot."""
    symbol, state, interval = "", 0, 0
    epoch = price = size = volume = depth = 0
    is_snapshot = False
    for field, value in scan(data):
        if field == 1:
            is_snapshot = value != 0
        elif field == 2:
            symbol = text(value)
        elif field == 3:
            epoch = number(value)
        elif field == 4:
            state = number(value)
        elif field == 5:
            price = number(value)
        elif field == 6:
            size = number(value)
        elif field == 7:
            volume = number(value)
        elif field == 8:
            depth = number(value)
        elif field == 9:
            interval = number(value)
    scales = (price, size, price, size, price, size, price, price, price, volume)
    name = INTERVALS[interval - 1] if 0 < interval <= len(INTERVALS) else ""
    stream = Stream(symbol, epoch, price, size, volume, depth, name, scales)
    return stream, STATES[state] if is_snapshot else None


def _begin(item: Json, stream: Stream, seq: int, skipped: int, opening: bytes) -> str:
    """Writes the place of an item; says whether it is a snapshot or an update."""
    item["seq"] = seq
    if opening and "state" in item:
        return "snapshot"
    item["prev"] = seq - 1 - skipped
    return "update"


def _levels(data: bytes, stream: Stream) -> list[list[str]]:
    numbers = zigzags(data)
    if len(numbers) % 2:
        raise ValueError("a level without a size")
    levels = []
    price = 0
    for at in range(0, len(numbers), 2):
        price += numbers[at]
        size = numbers[at + 1]
        # Only what leaves the view has the size 0, and that is not padded.
        size_text = decimal_text(size, stream.size_scale) if size else "0"
        levels.append([decimal_text(price, stream.price_scale), size_text])
    return levels


def _trade(data: bytes, stream: Stream, seq: int, ts_publish: int) -> Json:
    trade: dict[int, int] = {field: number(value) for field, value in scan(data)}
    return {
        "seq": seq - trade.get(1, 0),
        "id": str(trade.get(2, 0)),
        "price": decimal_text(signed(trade.get(3, 0)), stream.price_scale),
        "size": decimal_text(signed(trade.get(4, 0)), stream.size_scale),
        "side": SIDES[trade.get(5, 0)],
        "ts_event": ts_publish - zigzag(trade.get(6, 0)),
    }


def _bar(data: bytes, stream: Stream) -> Json:
    bar: dict[int, int] = {field: number(value) for field, value in scan(data)}
    prices = [decimal_text(signed(bar.get(at, 0)), stream.price_scale) for at in range(2, 6)]
    volume = (bar.get(7, 0) << 64) + bar.get(6, 0)
    return {
        "start": signed(bar.get(1, 0)) * 1_000_000,
        "open": prices[0],
        "high": prices[1],
        "low": prices[2],
        "close": prices[3],
        "volume": decimal_text(volume, stream.volume_scale),
        "trades": bar.get(8, 0),
        "closed": bar.get(9, 0) != 0,
    }
