"""How many messages a second one core decodes and applies, JSON and protobuf in turn.

usage: python clients/python/bench/decode.py ws://127.0.0.1:8080 [SECONDS]

Records what the service sends to each encoding for some seconds (all instruments, every channel),
then plays each recording through codec and session, the two encodings in turn within each round,
and prints the median of the rounds, in seconds of the processor, since others may use the machine.
No socket is read while it measures.
"""

import asyncio
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import websockets
from websockets.typing import Subprotocol

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from tickcast.codec import codec_for
from tickcast.errors import Failure
from tickcast.plan import Wish
from tickcast.session import Session
from tickcast.view import View
from tickcast.words import StreamKey

ROUNDS = 7
CHANNELS = ("ticker", "book", "trades")
ENCODINGS = ("json", "protobuf")
KEYS = {"ticker": StreamKey("ticker"), "book": StreamKey("book"), "trades": StreamKey("trades")}


class Nobody:
    """Listens to nothing."""

    def changed(self, view: View[Any]) -> None: ...
    def status(self, symbol: str, state: str) -> None: ...
    def granted(self, owner: int, result: dict[str, Any], is_own: bool) -> None: ...
    def failed(self, owner: int, pattern: str, failure: Failure) -> None: ...


async def record(url: str, encoding: Any, channel: str, seconds: float) -> list[str | bytes]:
    """What comes for a subscription to all instruments on a channel."""
    codec = codec_for(encoding)
    offered = [Subprotocol(codec.subprotocol)]
    async with websockets.connect(
        f"{url}/v1/ws", subprotocols=offered, proxy=None, max_size=None
    ) as socket:
        params = {"channel": channel, "symbol": ["*"]}
        await socket.send(codec.encode({"method": "subscribe", "req_id": 1, "params": params}))
        messages: list[str | bytes] = []
        try:
            async with asyncio.timeout(seconds):
                async for data in socket:
                    messages.append(data)
        except TimeoutError:
            pass
        return messages


def play(encoding: Any, channel: str, messages: list[str | bytes], verify: bool) -> float:
    """Seconds to decode and apply all."""
    session = Session(Nobody(), verify_checksums=verify)
    session.subscribe(1, Wish(KEYS[channel], {}, ("*",)))
    session.connected()
    codec = codec_for(encoding)
    began = time.process_time()
    for data in messages:
        session.receive(codec.decode(data), 0.0, 0)
    took = time.process_time() - began
    assert session.counts.applied > len(messages) // 2 and not session.counts.gaps, session.counts
    return took


async def main(url: str, seconds: float) -> None:
    """Records, plays, prints."""
    print("| channel | encoding | messages | bytes each | messages a second, one core |")
    print("|---|---|---|---|---|")
    for channel in CHANNELS:
        both = await asyncio.gather(*(record(url, one, channel, seconds) for one in ENCODINGS))
        recordings = dict(zip(ENCODINGS, both, strict=True))
        rates: dict[str, list[float]] = {one: [] for one in ENCODINGS}
        for _ in range(ROUNDS):
            for one, messages in recordings.items():
                took = play(one, channel, messages, channel == "book")
                rates[one].append(len(messages) / took)
        for one, messages in recordings.items():
            size = statistics.mean(len(data) for data in messages)
            rate = statistics.median(rates[one])
            print(f"| {channel} | {one} | {len(messages)} | {size:.0f} | {rate:,.0f} |")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 5.0))
