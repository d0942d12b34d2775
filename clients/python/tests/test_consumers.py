"""Those who look: iterators, callbacks, and what is left when they go."""

import asyncio
import gc
from functools import partial
from typing import Any

import pytest
from conftest import Service
from patience import PATIENCE_S, until, within

import tickcast
from tickcast import Ticker, Trades


def later(held: tickcast.Subscription[Trades], seq: int) -> bool:
    """Whether there are trades after that one."""
    return held["sim:S0-USD"].seq > seq


def tasks() -> set[asyncio.Task[Any]]:
    """Every task but this one."""
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_a_slow_consumer_gets_the_newest_of_each_symbol_and_no_queue(
    service: Service,
) -> None:
    async with tickcast.connect(service.url) as tick:
        held = await within(tick.ticker("sim:*").ready())
        updates = aiter(held)
        seen = {(await anext(updates)).symbol: None for _ in range(5)}
        assert len(seen) == 5, "what is held comes first"
        before = {t.symbol: t.seq for t in held.values()}
        await until(lambda: all(t.seq > before[t.symbol] + 5 for t in held.values()), "updates")
        # Without a pause between them: what waits is given at once.
        async with asyncio.timeout(PATIENCE_S):
            got = [await anext(updates) for _ in range(5)]
        assert [held[t.symbol].seq for t in got] == [t.seq for t in got], "the newest"
        assert len({t.symbol for t in got}) == 5, "each once"


async def test_a_slow_consumer_of_trades_misses_none_that_are_kept(service: Service) -> None:
    async with tickcast.connect(service.url) as tick:
        held = await within(tick.trades("sim:S0-USD").ready())
        seqs: list[int] = []
        async for trades in held:
            assert trades.missed == 0
            seqs += [trade.seq for trade in trades.fresh]
            seen = trades.seq
            if len(seqs) > 80:
                break
            await until(partial(later, held, seen + 5), "more trades")
        assert seqs == list(range(seqs[0], seqs[-1] + 1))


async def test_two_iterators_of_one_subscription_are_independent(service: Service) -> None:
    async with tickcast.connect(service.url) as tick:
        held = await within(tick.ticker("sim:S0-USD").ready())
        first, second = aiter(held), aiter(held)
        for _ in range(3):
            await within(anext(first))
        async with asyncio.timeout(PATIENCE_S):
            newest = await anext(second)
        assert newest.seq == held["sim:S0-USD"].seq
        waiting = asyncio.create_task(first.__anext__())
        await asyncio.sleep(0)
        while waiting.done():  # There was something.
            waiting = asyncio.create_task(first.__anext__())
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="two tasks"):
            await anext(first)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_an_iterator_can_be_cancelled_and_goes_on_afterwards(service: Service) -> None:
    async with tickcast.connect(service.url) as tick:
        held = await within(tick.ticker("sim:S0-USD").ready())
        updates = aiter(held)
        seqs: list[int] = []
        for _ in range(50):
            try:
                async with asyncio.timeout(0.002):
                    seqs.append((await anext(updates)).seq)
            except TimeoutError:
                continue
        seqs.append((await within(anext(updates))).seq)
        assert seqs == sorted(seqs)


async def test_iterators_that_nobody_holds_are_forgotten(service: Service) -> None:
    async with tickcast.connect(service.url) as tick:
        held = await within(tick.ticker("sim:*").ready())
        for _ in range(20):
            async for _t in held:
                break
        gc.collect()
        assert len(held._iterators) == 0


async def test_callbacks_hear_every_message_and_may_fail(service: Service) -> None:
    faults: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, c: faults.append(c["message"]))
    async with tickcast.connect(service.url) as tick:
        heard: list[Trades] = []
        failed: list[Trades] = []

        def fail(trades: Trades) -> None:
            failed.append(trades)
            raise RuntimeError("mine")

        held = tick.trades("sim:S0-USD", on_update=fail)
        end = held.on_update(heard.append)
        await until(lambda: len(heard) > 10, "trades")
        seqs = [trade.seq for trades in heard for trade in trades.fresh]
        assert seqs == list(range(seqs[0], seqs[-1] + 1)), "each once"
        assert len(failed) == len(heard) and len(faults) == len(failed)
        end()
        count = len(heard)
        await until(lambda: len(failed) > count + 3, "more for the other")
        assert len(heard) == count


async def test_a_coroutine_is_called_with_the_newest_one_at_a_time(service: Service) -> None:
    running, most, seqs = 0, 0, []

    async def slow(t: Ticker) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        seqs.append((t.seq, held["sim:S0-USD"].seq))
        running -= 1

    async with tickcast.connect(service.url) as tick:
        held = tick.ticker("sim:S0-USD", on_update=slow)
        await until(lambda: len(seqs) > 5, "calls")
        assert most == 1
        assert sorted(seq for seq, _ in seqs) == [seq for seq, _ in seqs]
    assert not tasks()


async def test_nothing_is_left_when_the_body_fails(service: Service) -> None:
    with pytest.raises(ZeroDivisionError):
        async with tickcast.connect(service.url) as tick:
            async for _t in tick.ticker("sim:*"):
                raise ZeroDivisionError
    assert not tasks() and tick.connection.state == "closed"


async def test_nothing_is_left_when_the_task_is_cancelled(service: Service) -> None:
    started = asyncio.Event()

    async def work() -> None:
        async with tickcast.connect(service.url) as tick:
            async for _t in tick.book("sim:*"):
                started.set()

    task = asyncio.create_task(work())
    await within(started.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not tasks()


async def test_nothing_is_left_of_event_streams(service: Service) -> None:
    async with tickcast.connect(service.url, transport="sse") as tick:
        await within(tick.ticker("sim:*").ready())
        await within(tick.book("sim:*").ready())
    assert not tasks()


async def test_closing_while_connecting_ends_at_once() -> None:
    async with tickcast.connect("ws://127.0.0.1:9") as tick:
        held = tick.ticker("sim:*")
    assert not tasks() and tick.connection.state == "closed"
    assert [t async for t in held] == []
    with pytest.raises(tickcast.ClosedError):
        tick.ticker("sim:*")
    with pytest.raises(tickcast.ClosedError):
        await held.ready()


async def test_iterators_end_when_the_client_is_closed_elsewhere(service: Service) -> None:
    tick = await tickcast.connect(service.url)
    held = await within(tick.ticker("sim:S0-USD").ready())
    collected = asyncio.create_task(_all(held))
    await until(lambda: tick.connection.messages > 20, "messages")
    await tick.close()
    await tick.close()
    assert len(await within(collected)) > 0 and not tasks()


async def _all(held: tickcast.Subscription[Ticker]) -> list[Ticker]:
    return [t async for t in held]


async def test_a_burst_of_changes_is_paced_and_the_last_one_holds(service: Service) -> None:
    async with tickcast.connect(service.url) as tick:
        held = await within(tick.ticker("sim:*").ready())
        for number in range(300):
            held.change(max_rate=4 if number % 2 else 1)
        await until(lambda: held.granted and held.granted.max_rate == 4, "the last rate")
        stats = await within(tick.stats())
        assert stats.subscriptions == 1 and tick.connection.reconnects == 0
