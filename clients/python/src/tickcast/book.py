"""The book of an instrument down to a depth, checked against the service's checksum if wanted.

A client never cuts a book: what leaves the view is sent with size 0.
"""

from bisect import bisect_left
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple
from zlib import crc32

from tickcast.view import ChecksumFailure, View, Violation
from tickcast.words import Json, StreamKey, TradingState

CHECKSUM_LEVELS = 10

Texts = tuple[tuple[str, str], ...]
"""Price and size of each level as they were sent."""


class Level(NamedTuple):
    """Price and size of a level."""

    price: Decimal
    size: Decimal


class Book:
    """A book at one moment."""

    __slots__ = (
        "symbol", "depth", "epoch", "seq", "state", "bid_texts", "ask_texts", "checksum",
        "ts_event", "ts_publish", "received_at", "_bids", "_asks",
    )  # fmt: skip

    def __init__(self, view: "BookView", state: TradingState) -> None:
        self.symbol = view.symbol
        self.depth = view.depth
        self.epoch = view.rule.epoch
        self.seq = view.rule.seq
        self.state: TradingState = state
        self.bid_texts: Texts = tuple(view.bids.levels)
        """Bids as they were sent, best first."""
        self.ask_texts: Texts = tuple(view.asks.levels)
        """Asks as they were sent, best first."""
        self.checksum = view.checksum
        """The service's CRC-32 of the best ten levels of each side."""
        self.ts_event = view.ts_event
        self.ts_publish = view.ts_publish
        self.received_at = view.received_at
        self._bids: tuple[Level, ...] | None = None
        self._asks: tuple[Level, ...] | None = None

    @property
    def bids(self) -> tuple[Level, ...]:
        """Bids, best first."""
        if self._bids is None:
            self._bids = _levels(self.bid_texts)
        return self._bids

    @property
    def asks(self) -> tuple[Level, ...]:
        """Asks, best first."""
        if self._asks is None:
            self._asks = _levels(self.ask_texts)
        return self._asks

    @property
    def stale(self) -> bool:
        """Whether the book may not be current."""
        return self.state in ("stale", "resync")

    @property
    def raw(self) -> Json:
        """An item of `/v1/snapshot`: every number the text that was sent."""
        return {
            "symbol": self.symbol,
            "depth": self.depth,
            "epoch": self.epoch,
            "seq": self.seq,
            "state": self.state,
            "bids": [list(level) for level in self.bid_texts],
            "asks": [list(level) for level in self.ask_texts],
            "checksum": self.checksum,
            "ts_event": self.ts_event,
            "ts_publish": self.ts_publish,
        }

    def __repr__(self) -> str:
        best = [f"{side[0][1]} @ {side[0][0]}" if side else "none" for side in self._sides()]
        return f"<Book {self.symbol} {self.state} bid {best[0]} ask {best[1]} seq={self.seq}>"

    def _sides(self) -> tuple[Texts, Texts]:
        return self.bid_texts, self.ask_texts


def _levels(texts: Texts) -> tuple[Level, ...]:
    return tuple(Level(Decimal(price), Decimal(size)) for price, size in texts)


class Ladder:
    """One side of a book: levels best first, and beside them what they are ordered by and, where
    checksums are verified, their digits."""

    __slots__ = ("levels", "digits", "verify", "_keys", "_sign")

    def __init__(self, sign: int) -> None:
        self.levels: list[tuple[str, str]] = []
        self.digits: list[str] = []
        self.verify = False
        self._keys: list[int] = []
        self._sign = sign

    def clear(self, *, verify: bool) -> None:
        """Empties the side."""
        self.verify = verify
        self.levels.clear()
        self.digits.clear()
        self._keys.clear()

    def put(self, price: str, size: str) -> None:
        """Sets a level; size `0` removes it, also where there is none."""
        key = self._sign * int(price.replace(".", ""))
        keys = self._keys
        at = bisect_left(keys, key)
        held = at < len(keys) and keys[at] == key
        if size == "0":
            if held:
                del keys[at], self.levels[at]
                if self.verify:
                    del self.digits[at]
        elif held:
            self.levels[at] = (price, size)
            if self.verify:
                self.digits[at] = level_digits(price, size)
        else:
            keys.insert(at, key)
            self.levels.insert(at, (price, size))
            if self.verify:
                self.digits.insert(at, level_digits(price, size))


def level_digits(price: str, size: str) -> str:
    """What a level adds to the checksum: its numbers without the point and leading zeros."""
    return price.replace(".", "").lstrip("0") + size.replace(".", "").lstrip("0")


def book_checksum(bids: Sequence[str], asks: Sequence[str]) -> int:
    """The CRC-32 that Kraken defines, over the digits of levels that stand best first: the best
    ten asks, then bids, all in one string."""
    return crc32("".join((*asks[:CHECKSUM_LEVELS], *bids[:CHECKSUM_LEVELS])).encode())


class BookView(View[Book]):
    """The book that is held."""

    __slots__ = ("depth", "bids", "asks", "checksum", "ts_event", "verify", "_scale")
    channel = "book"

    def __init__(self, symbol: str, key: StreamKey) -> None:
        super().__init__(symbol, key)
        self.depth = 0
        self.bids = Ladder(-1)
        self.asks = Ladder(1)
        self.checksum = 0
        self.ts_event = 0
        self.verify = False
        self._scale: int | None = None

    def shows(self, item: Json) -> bool:
        return bool(item["depth"] == self.depth)

    def apply(self, item: Json, is_snapshot: bool, before: int | None) -> None:
        if is_snapshot:
            self.depth = item["depth"]
            self._scale = None
            self.bids.clear(verify=self.verify)
            self.asks.clear(verify=self.verify)
        self._put(self.bids, item["bids"])
        self._put(self.asks, item["asks"])
        if max(len(self.bids.levels), len(self.asks.levels)) > self.depth:
            raise Violation("the book has more levels than its depth")
        self.checksum = item["checksum"]
        self.ts_event = item["ts_event"]
        if self.verify:
            computed = book_checksum(self.bids.digits, self.asks.digits)
            if computed != self.checksum:
                raise ChecksumFailure(f"the book's checksum is {computed}, not {self.checksum}")

    def _put(self, side: Ladder, levels: list[list[str]]) -> None:
        for price, size in levels:
            # One epoch has one scale; that is what makes the digits alone an order.
            scale = len(price) - price.find(".") if "." in price else 0
            if scale != self._scale:
                if self._scale is not None:
                    raise Violation(f"price {price} is not at the scale of its epoch")
                self._scale = scale
            side.put(price, size)

    def claims(self, options: Json) -> bool:
        return bool(options.get("depth", 10) == self.depth)

    def make(self, state: TradingState) -> Book:
        return Book(self, state)

    def raw(self, state: TradingState) -> Json:
        return self.value(state).raw
