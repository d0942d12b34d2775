"""Everything at once, by seeds: whatever happened, the end is the publisher's state."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Service
from fault_proxy import FaultProxy, Message
from patience import until, within
from test_service import assert_equals_snapshot

import tickcast
from tickcast import Backoff

MESSAGES = 2_000
CUTS = 8


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    """A service that is busy enough for all of this to happen soon."""
    return start("--sim-instruments", "5", "--sim-rate", "300")


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
@pytest.mark.parametrize("seed", [1, 2])
async def test_faults_of_all_kinds_end_with_the_publishers_state(
    proxy: FaultProxy, encoding: Any, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickcast.asking.ANSWER_WITHIN_S", 0.5)
    chance = random.Random(seed)
    seen = 0

    def fault(message: Message) -> list[Message]:
        nonlocal seen
        seen += 1
        if seen % (MESSAGES // CUTS) == 0:
            proxy.cut()
        if message.get("channel") == "system":
            return [message]
        return [message] * chance.choices([0, 1, 2], [5, 90, 5])[0]

    backoff = Backoff(base_s=0.02, max_s=0.1)
    client = tickcast.connect(proxy.url, encoding=encoding, backoff=backoff, verify_checksums=True)
    async with client as tick:
        proxy.fault = fault
        ticker, trades = tick.ticker("sim:*"), tick.trades("sim:*")
        book, bars = tick.book("sim:*", depth=25), tick.bars("sim:*", interval="1s")
        shown: list[int] = []
        trades.on_update(
            lambda t: shown.extend(one.seq for one in t.fresh if t.symbol == "sim:S0-USD")
        )
        await until(lambda: seen >= MESSAGES, f"{MESSAGES} messages")
        proxy.fault = lambda message: [message]
        for held in (ticker, trades, book, bars):
            await within(held.ready())
        await assert_equals_snapshot(proxy.service_url, ticker)
        await assert_equals_snapshot(proxy.service_url, trades)
        await assert_equals_snapshot(proxy.service_url, book, depth=25)
        await assert_equals_snapshot(proxy.service_url, bars, interval="1s")
        connection = tick.connection
        assert connection.reconnects >= CUTS // 2 and connection.resyncs > 0
        assert connection.checksum_failures == 0, "what was missed is noticed before it is applied"
        assert shown == sorted(set(shown)), "each trade once, in order"
        await until(lambda: set(tick.statuses().values()) == {"live"}, "live instruments")
