"""The SDK against the real service: what it holds is what `/v1/snapshot` says."""

import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from conftest import Service
from patience import PATIENCE_S, until, within, without_publish_time

import tickcast
from tickcast import Subscription

TRANSPORTS = ["websocket", "sse"]


async def assert_equals_snapshot(url: str, held: Subscription[Any], **options: Any) -> None:
    """Every value of a subscription is at some moment at the seq of a REST snapshot, and then it
    is the same, but for trades and bars that are kept longer."""
    left = {value.symbol for value in held.values()}
    assert left
    seen = {place_of(value): value for value in held.values()}
    end = held.on_update(lambda value: seen.update({place_of(value): value}))
    deadline = time.monotonic() + PATIENCE_S
    ask: Any = tickcast.connect(url).snapshot
    while left:
        assert time.monotonic() < deadline, f"{held.channel}: never at the same seq: {left}"
        try:
            answers = await ask(held.channel, sorted(left), **options)
        except tickcast.NotLiveError:
            continue  # So busy is the machine.
        for now in answers:
            # What we are told may be ahead of the messages that are on their way.
            await until(partial(is_there, held, seen, now), f"{held.channel} of {now.symbol}")
            mine = seen.get(place_of(now))
            if mine is not None and is_same(mine, now):
                left.discard(now.symbol)
    end()


def place_of(value: Any) -> tuple[str, int, int, str]:
    """Of which moment a value is."""
    return value.symbol, value.epoch, value.seq, value.state


def is_there(held: Subscription[Any], seen: dict[Any, Any], now: Any) -> bool:
    """Whether a subscription was at the place of a snapshot, or is past it."""
    mine = held.get(now.symbol)
    is_past = mine is not None and (mine.epoch, mine.seq) > (now.epoch, now.seq)
    return is_past or place_of(now) in seen


def is_same(mine: Any, now: Any) -> bool:
    """Asserts that a value is what a snapshot at its place says; False where that is older."""
    ours, theirs = without_publish_time(mine.raw), without_publish_time(now.raw)
    for kept in ("trades", "bars"):
        if kept in theirs:
            count = len(theirs[kept])
            assert len(ours[kept]) >= count
            ours[kept] = ours[kept][-count:] if count else []
    # The venue's time goes on where an event changed nothing.
    if "ts_event" in theirs:
        if ours["ts_event"] > theirs["ts_event"]:
            return False
        ours["ts_event"] = theirs["ts_event"]
    assert ours == theirs
    return True


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_channel_holds_what_the_snapshot_says(service: Service, transport: Any) -> None:
    async with tickcast.connect(service.url, transport=transport, verify_checksums=True) as tick:
        ticker = tick.ticker("sim:*")
        trades = tick.trades("sim:*")
        book = tick.book("sim:*", depth=25)
        bars = tick.bars("sim:*", interval="1s")
        subscriptions: list[tuple[Subscription[Any], dict[str, Any]]] = [
            (ticker, {}), (trades, {}), (book, {"depth": 25}), (bars, {"interval": "1s"}),
        ]  # fmt: skip
        for held, _ in subscriptions:
            await within(held.ready())
            assert len(held) == 5
        await until(lambda: all(t.seq > 1 for t in ticker.values()), "updates of all tickers")
        for held, options in subscriptions:
            await assert_equals_snapshot(service.url, held, **options)
        connection = tick.connection
        assert (connection.transport, connection.encoding) == (transport, "json")
        assert (connection.resyncs, connection.checksum_failures) == (0, 0)
        assert connection.missed_trades == 0
        assert set(tick.statuses().values()) == {"live"}


async def test_the_five_lines_give_exact_numbers(service: Service) -> None:
    async with tickcast.connect(service.url) as tick:
        async for t in tick.ticker(["sim:S0-USD"], max_rate=5):
            assert t.symbol == "sim:S0-USD" and t.state == "live" and not t.stale
            assert isinstance(t.last, Decimal)
            assert format(t.last, "f") == t.texts["last"] == t.raw["last"]
            assert t.bid is not None and t.ask is not None and t.mid is not None
            assert t.bid < t.mid < t.ask and t.spread == t.ask - t.bid
            assert 0 < t.ts_event <= t.ts_publish
            break


async def test_names_that_fail_are_reported_and_the_others_served(service: Service) -> None:
    async with tickcast.connect(service.url) as tick:
        heard: list[str] = []
        some = tick.ticker(["sim:S0-USD", "sim:NOPE", "S1-USD"])
        some.on_failed(lambda pattern, failure: heard.append(f"{pattern} {failure.code}"))
        await within(some.ready())
        assert heard == ["sim:NOPE 4404"] and some.failed["sim:NOPE"].code == 4404
        assert {t.symbol for t in some.values()} == {"sim:S0-USD", "sim:S1-USD"}
        assert some["S1-USD"].symbol == "sim:S1-USD" and "S0-USD" in some
        assert some.granted is not None and len(some.granted.symbols) == 2
        none = tick.book(["sim:NOPE"])
        with pytest.raises(tickcast.SubscriptionError, match="sim:NOPE: .*4404"):
            await within(anext(aiter(none)))
        with pytest.raises(tickcast.SubscriptionError):
            await within(none.ready())


async def test_globs_and_options_are_granted_and_change_in_place(service: Service) -> None:
    async with tickcast.connect(service.url) as tick:
        held = tick.ticker("sim:*", max_rate=5, fields=["last", "bid"])
        await within(held.ready())
        assert held.granted is not None
        assert (held.granted.max_rate, held.granted.fields) == (4, ("last", "bid"))
        assert held.granted.globs == {"sim:*": 5}
        assert held["sim:S0-USD"].ask is None and held["sim:S0-USD"].bid is not None
        held.change(fields=["last", "ask"], max_rate=1)
        await until(lambda: held.granted and held.granted.max_rate == 1, "the other rate")
        await until(lambda: all(t.ask is not None for t in held.values()), "the other fields")
        assert all(set(t.texts) == {"last", "ask"} for t in held.values())
        held.change(fields=["last"])
        await until(lambda: all(set(t.texts) == {"last"} for t in held.values()), "fewer fields")
        deep = tick.book("sim:S0-USD", depth=10)
        await within(deep.ready())
        deep.change(depth=25)
        await until(lambda: deep["sim:S0-USD"].depth == 25, "the other depth")
        await assert_equals_snapshot(service.url, deep, depth=25)
        for channel, option in ((held, "depth"), (deep, "fields"), (deep, "interval")):
            with pytest.raises(ValueError, match=option):
                channel.change(**{option: 1})


async def test_subscriptions_end_and_share_what_they_have_in_common(service: Service) -> None:
    async with tickcast.connect(service.url) as tick:
        first = tick.book(["sim:S0-USD", "sim:S1-USD"], depth=10)
        await within(first.ready())
        async with tick.book("sim:S0-USD", depth=25) as second:
            await until(lambda: second.get("sim:S0-USD") and second["sim:S0-USD"].depth == 25, "25")
            assert first["sim:S0-USD"].depth == 25  # One stream, the later options.
        await until(lambda: first["sim:S0-USD"].depth == 10, "the earlier options again")
        assert await anext(aiter(second), None) is None and second.get("sim:S0-USD") is None
        assert (await within(tick.stats())).subscriptions == 2
        first.close()
        assert len(first) == 0
        subscriptions = 1
        while subscriptions:
            subscriptions = (await within(tick.stats())).subscriptions
        assert tick.statuses() == {}


async def test_trades_begin_where_asked_and_come_each_once(service: Service) -> None:
    async with tickcast.connect(service.url) as tick:
        held = tick.trades("sim:S0-USD", snapshot=False)
        await within(held.ready())
        seqs: list[int] = []
        async for trades in held:
            assert trades.missed == 0
            seqs += [trade.seq for trade in trades.fresh]
            if len(seqs) >= 10:
                break
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        assert [t.seq for t in held["sim:S0-USD"].trades][: len(seqs)] == seqs
        trade = held["sim:S0-USD"].trades[0]
        assert trade.side in ("buy", "sell") and format(trade.price, "f") == trade.raw["price"]


async def test_questions_are_answered(service: Service) -> None:
    async with tickcast.connect(service.url) as tick:
        with pytest.raises(tickcast.NotLiveError):
            await tick.stats()
        await within(tick.wait_live())
        pong = await within(tick.ping())
        assert pong.rtt_us > 0 and tick.connection.rtt_us == pong.rtt_us
        assert (await within(tick.stats())).subscriptions == 0
        instruments = await within(tick.instruments("sim:S1*"))
        assert [one.symbol for one in instruments] == ["sim:S1-USD"]
        assert isinstance(instruments[0].tick_size, Decimal)
        book = (await within(tick.snapshot("book", "sim:S0-USD", depth=25)))[0]
        assert len(book.bids) == len(book.asks) == 25 and book.bids[0].price < book.asks[0].price
        with pytest.raises(tickcast.RequestError, match="4404"):
            await within(tick.snapshot("ticker", "sim:NOPE"))


async def test_many_names_are_spread_over_requests(start: Callable[..., Service]) -> None:
    service = start("--sim-instruments", "900", "--sim-rate", "100")
    async with tickcast.connect(service.url) as tick:
        names: list[str] = []
        while len(names) < 900:  # The list fills in the first moment of a service.
            names = [one.symbol for one in await within(tick.instruments())]
        held = await within(tick.ticker(names, fields=["last"]).ready())
        assert len(held) == 900


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_killed_service_is_waited_for_and_found_again(
    service: Service, transport: Any
) -> None:
    backoff = tickcast.Backoff(base_s=0.05, max_s=0.2)
    async with tickcast.connect(service.url, transport=transport, backoff=backoff) as tick:
        states: list[str] = []
        tick.on_connection(lambda connection: states.append(connection.state))
        told: list[tuple[str, str]] = []
        tick.on_status(lambda symbol, state: told.append((symbol, state)))
        held = await within(tick.ticker("sim:*").ready())
        updates = aiter(held)
        service.stop()
        await until(lambda: tick.connection.state == "reconnecting", "reconnecting")
        assert all(t.stale and t.state == "stale" for t in held.values())
        assert held["sim:S0-USD"].last is not None  # Shown, not hidden.
        assert ("sim:S0-USD", "stale") in told and tick.status("sim:S0-USD") == "stale"
        await until(
            lambda: tick.connection.attempt > 1 and tick.connection.next_attempt_at is not None,
            "another try, and the wait for the next",
        )
        assert tick.connection.reason is not None
        while not (await within(anext(updates))).stale:
            pass
        service.start()
        await within(tick.wait_live())
        await until(lambda: all(t.state == "live" for t in held.values()), "live tickers")
        assert tick.connection.reconnects == 1
        await assert_equals_snapshot(service.url, held)
    assert [s for s, after in pairwise(states) if s != after] == [
        "live", "reconnecting", "live",
    ]  # fmt: skip
    assert states[-1] == "closed" and tick.connection.state == "closed"


async def test_goaway_is_honoured_served_until_the_end(start: Callable[..., Service]) -> None:
    service = start("--sim-instruments", "3", "--sim-rate", "200", "--drain-window", "2s")
    backoff = tickcast.Backoff(base_s=0.05, max_s=0.2)
    goaways: list[tuple[tickcast.Goaway, bool]] = []

    def hear(connection: tickcast.Connection) -> None:
        if connection.goaway is not None:
            goaways.append((connection.goaway, connection.is_live))

    async with tickcast.connect(service.url, backoff=backoff) as tick:
        held = await within(tick.ticker("sim:*").ready())
        tick.on_connection(hear)
        assert service.process is not None
        service.process.terminate()
        await until(lambda: goaways, "goaway")
        goaway, is_live = goaways[0]
        assert goaway.reason == "drain" and is_live
        seq = held["sim:S0-USD"].seq
        await until(lambda: held["sim:S0-USD"].seq > seq or not tick.connection.is_live, "data")
        service.process.wait(PATIENCE_S)
        service.start()
        await until(lambda: tick.connection.reconnects == 1, "the next connection")
        assert time.time() >= goaway.closes_at
        assert tick.connection.goaway is None
        await within(held.ready())


async def test_a_service_that_is_not_there_is_waited_for(service: Service) -> None:
    service.stop()
    backoff = tickcast.Backoff(base_s=0.02, max_s=0.05)
    async with tickcast.connect(service.url, backoff=backoff) as tick:
        held = tick.ticker("sim:*")
        await until(lambda: tick.connection.attempt > 2, "a third try")
        assert tick.connection.state == "connecting"
        service.start()
        await within(held.ready())
        assert tick.connection.reconnects == 0
