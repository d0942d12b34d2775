"""The package as a strict type checker sees it; checked by a test, never run."""

import asyncio
from decimal import Decimal
from typing import assert_type

import tickcast
from tickcast import Book, Subscription, Ticker


async def token() -> str:
    """A token."""
    return "…"


async def slow(t: Ticker) -> None:
    """A callback that waits."""
    await asyncio.sleep(0)


async def main() -> None:
    """Everything once."""
    async with tickcast.connect("ws://127.0.0.1:8080", token=token, encoding="protobuf") as tick:
        held = tick.ticker(["coinbase:BTC-USD"], max_rate=5, fields=["last", "bid"], on_update=slow)
        assert_type(held, Subscription[Ticker])
        async for t in held:
            assert_type(t.last, Decimal | None)
            assert_type(t, Ticker)
        book = await tick.book("kraken:*", depth=25, on_update=lambda b: print(b.bids)).ready()
        assert_type(book["kraken:BTC-USD"].asks[0].price, Decimal)
        assert_type(await tick.snapshot("book", "kraken:BTC-USD", depth=10), list[Book])
        bars = tick.bars("*", interval="1s")
        for one in bars.values():
            assert_type(one.bars[-1].close, Decimal)
        trades = tick.trades("*", snapshot=False)
        assert_type(trades["x"].fresh[0].price, Decimal)
        assert_type((await tick.stats()).lagging, bool)
