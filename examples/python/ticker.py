"""A live table in a terminal: python examples/python/ticker.py [URL [SYMBOL…]]"""

import asyncio
import sys

import tickcast


async def main(url: str, symbols: list[str]) -> None:
    async with tickcast.connect(url) as tick:
        table = tick.ticker(symbols, max_rate=4)
        await table.ready()
        async for _ in table:
            rows = sorted(table.values(), key=lambda t: t.symbol)
            print(f"\x1b[2J\x1b[H{tick.connection.state}: {len(rows)} instruments")
            for t in rows:
                mood = "?" if t.stale else " "
                print(f"{mood} {t.symbol:<20} {t.last!s:>12} {t.bid!s:>12} {t.ask!s:>12} {t.state}")
            await asyncio.sleep(0.25)  # However slow this is, the next row is the newest.


url, *symbols = sys.argv[1:] or ["ws://127.0.0.1:8080"]
try:
    asyncio.run(main(url, symbols or ["sim:*"]))
except KeyboardInterrupt:
    pass
except tickcast.TickcastError as error:
    sys.exit(f"{error}")
