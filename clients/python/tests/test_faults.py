"""The SDK against the real service behind a proxy that faults."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Service
from fault_proxy import Blockade, FaultProxy, Message
from patience import until, within
from test_service import assert_equals_snapshot

import tickcast
from tickcast import Backoff

QUICK = Backoff(base_s=0.05, max_s=0.2)


def every(
    count: int, fault: Callable[[Message], list[Message]]
) -> Callable[[Message], list[Message]]:
    """Every so many data messages are faulted."""
    seen = 0

    def judged(message: Message) -> list[Message]:
        nonlocal seen
        if "data" not in message or message["channel"] in ("system", "status"):
            return [message]
        seen += 1
        return fault(message) if seen % count == 0 else [message]

    return judged


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
async def test_what_was_dropped_is_asked_for_again_for_that_symbol_only(
    proxy: FaultProxy, encoding: Any
) -> None:
    client = tickcast.connect(proxy.url, backoff=QUICK, verify_checksums=True, encoding=encoding)
    async with client as tick:
        book = tick.book("sim:*", depth=10)
        ticker = tick.ticker("sim:*")
        trades = tick.trades("sim:*")
        for held in (book, ticker, trades):
            await within(held.ready())
        proxy.fault = every(10, lambda message: [])
        await until(lambda: tick.connection.resyncs >= 5, "resyncs")
        proxy.fault = lambda message: [message]
        await assert_equals_snapshot(proxy.service_url, book)
        await assert_equals_snapshot(proxy.service_url, ticker)
        await assert_equals_snapshot(proxy.service_url, trades)
        assert proxy.opened == 1 and tick.connection.reconnects == 0
        if encoding == "protobuf":
            return
        again = [
            request["params"]
            for request in proxy.asked("subscribe")
            if "since" in request["params"]
        ]
        assert again and all(params["symbol"] == ["sim:*"] for params in again)
        assert all(set(params["since"]) <= set(tick.statuses()) for params in again)
        assert {params.get("depth") for params in again if params["channel"] == "book"} <= {10}


async def test_a_gap_reads_as_resync_until_it_is_closed(proxy: FaultProxy) -> None:
    async with tickcast.connect(proxy.url) as tick:
        held = await within(tick.ticker("sim:S0-USD").ready())
        states: list[str] = []
        held.on_update(lambda t: states.append(t.state))
        proxy.fault = every(3, lambda message: [])
        await until(lambda: "resync" in states, "resync")
        proxy.fault = lambda message: [message]
        await until(lambda: held["sim:S0-USD"].state == "live", "live again")


async def test_what_comes_twice_or_late_does_no_harm(proxy: FaultProxy) -> None:
    held_back: list[Message] = []

    def delay(message: Message) -> list[Message]:
        held_back.append(message)
        return [message, message]

    async with tickcast.connect(proxy.url) as tick:
        held = await within(tick.ticker("sim:*").ready())
        proxy.fault = every(2, delay)
        await until(lambda: len(held_back) > 20, "doubled messages")
        for message in held_back:
            await proxy.send(message)
        await assert_equals_snapshot(proxy.service_url, held)
        assert tick.connection.resyncs == 0


async def test_a_wrong_checksum_is_counted_and_the_book_asked_for_since_nothing(
    proxy: FaultProxy,
) -> None:
    def spoil(message: Message) -> list[Message]:
        if message["type"] == "update" and message["data"][0]["bids"]:
            message["data"][0]["bids"][0][1] = "0.0001"
        return [message]

    async with tickcast.connect(proxy.url, verify_checksums=True) as tick:
        held = await within(tick.book("sim:S0-USD").ready())
        proxy.fault = every(4, spoil)
        await until(lambda: tick.connection.checksum_failures > 0, "a failure")
        proxy.fault = lambda message: [message]
        await within(held.ready())
        await assert_equals_snapshot(proxy.service_url, held)
        since = [r["params"]["since"] for r in proxy.asked("subscribe") if "since" in r["params"]]
        assert {"sim:S0-USD": {"epoch": 0, "seq": 0}} in since


async def test_a_service_that_always_answers_wrongly_is_not_asked_in_a_tight_loop(
    proxy: FaultProxy,
) -> None:
    def spoil(message: Message) -> list[Message]:
        if message.get("channel") == "book":
            message["data"][0]["checksum"] ^= 1
        return [message]

    proxy.fault = spoil
    async with tickcast.connect(proxy.url, verify_checksums=True) as tick:
        tick.book("sim:S0-USD")
        began = asyncio.get_running_loop().time()
        await until(lambda: tick.connection.resyncs >= 4, "asking again")
        # 0, 0.1, 0.2 and 0.4 seconds before the four.
        assert asyncio.get_running_loop().time() - began >= 0.7


async def test_an_answer_that_never_comes_is_asked_for_again(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickcast.asking.ANSWER_WITHIN_S", 0.1)
    lost: list[Message] = []

    def lose(message: Message) -> list[Message]:
        if message.get("method") == "subscribe" or message.get("channel") == "ticker":
            if len(lost) < 6:
                lost.append(message)
                return []
        return [message]

    proxy.fault = lose
    async with tickcast.connect(proxy.url) as tick:
        held = await within(tick.ticker("sim:*").ready())
        assert len(held) == 5 and len(proxy.asked("subscribe")) > 1


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
async def test_first_messages_that_never_come_are_asked_for_again(
    proxy: FaultProxy, encoding: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the binary encoding what follows does not even say which instrument it is of."""
    monkeypatch.setattr("tickcast.asking.ANSWER_WITHIN_S", 0.5)
    lost: list[Message] = []

    def lose(message: Message) -> list[Message]:
        if message.get("type") == "snapshot" and message["channel"] in ("ticker", "book"):
            if len(lost) < 8:
                lost.append(message)
                return []
        return [message]

    proxy.fault = lose
    async with tickcast.connect(proxy.url, encoding=encoding) as tick:
        ticker, book = tick.ticker("sim:*"), tick.book(["sim:S0-USD", "sim:S4-USD"])
        await until(lambda: len(ticker) == 5 and len(book) == 2, "all first messages")
        await assert_equals_snapshot(proxy.service_url, ticker)
        await assert_equals_snapshot(proxy.service_url, book)
        assert len(lost) >= 7 and tick.connection.reconnects == 0


async def test_a_cut_connection_resumes_with_since(proxy: FaultProxy) -> None:
    async with tickcast.connect(proxy.url, backoff=QUICK) as tick:
        held = await within(tick.book("sim:*").ready())
        trades = await within(tick.trades("sim:*").ready())
        await until(lambda: trades["sim:S0-USD"].trades, "a trade")
        kept = trades["sim:S0-USD"].trades[0].seq
        proxy.requests.clear()
        proxy.cut()
        await until(lambda: tick.connection.reconnects == 1, "another connection")
        await within(held.ready())
        await within(trades.ready())
        claimed: dict[str, dict[str, Any]] = {}
        for asked in proxy.asked("subscribe"):
            claimed.setdefault(asked["params"]["channel"], asked["params"]["since"])
        assert set(claimed["book"]) == set(claimed["trades"]) == {f"sim:S{n}-USD" for n in range(5)}
        assert all(place["seq"] > 0 for place in claimed["book"].values())
        await assert_equals_snapshot(proxy.service_url, held)
        await assert_equals_snapshot(proxy.service_url, trades)
        assert trades["sim:S0-USD"].trades[0].seq == kept
        assert trades["sim:S0-USD"].missed == 0


@pytest.mark.parametrize("code", [4400, 4403, 4404, 4413])
async def test_44xx_is_the_end_and_says_why(proxy: FaultProxy, code: int) -> None:
    async with tickcast.connect(proxy.url, backoff=QUICK) as tick:
        held = await within(tick.ticker("sim:*").ready())
        updates = aiter(held)
        await proxy.close(code, "so be it")
        await within(tick.wait_closed())
        reason = tick.connection.reason
        assert tick.connection.state == "closed" and reason is not None
        assert (reason.code, reason.text) == (code, "so be it")
        with pytest.raises(tickcast.ClosedError, match=f"{code}: so be it"):
            while (await within(anext(updates))).stale is not None:
                pass
        with pytest.raises(tickcast.ClosedError):
            tick.ticker("sim:S0-USD")
        assert proxy.opened == 1 and all(t.stale for t in held.values())


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4500, 4503, 4508, 4529])
async def test_every_other_code_comes_back(proxy: FaultProxy, code: int) -> None:
    async with tickcast.connect(proxy.url, backoff=QUICK) as tick:
        held = await within(tick.ticker("sim:*").ready())
        await proxy.close(code, "later")
        await until(lambda: tick.connection.reconnects == 1, "another connection")
        await within(held.ready())


async def test_three_silent_heartbeats_mean_dead(proxy: FaultProxy) -> None:
    def hurry(message: Message) -> list[Message]:
        if message.get("type") == "welcome":
            message["data"][0]["heartbeat_ms"] = 200
        return [message]

    proxy.fault = hurry
    async with tickcast.connect(proxy.url, backoff=QUICK) as tick:
        held = await within(tick.ticker("sim:*").ready())
        proxy.is_silent = True
        await until(lambda: tick.connection.state == "reconnecting", "reconnecting")
        assert tick.connection.reason is not None and "silent" in tick.connection.reason.text
        proxy.is_silent = False
        proxy.fault = lambda message: [message]
        # Whoever is held up for three such heartbeats was lost before as well.
        await until(lambda: tick.connection.is_live, "another connection")
        assert tick.connection.reconnects >= 1
        await within(held.ready())


async def test_goaway_holds_back_a_connection_that_is_lost_before(proxy: FaultProxy) -> None:
    goaways: list[tickcast.Goaway] = []
    tries: list[float] = []

    def hear(connection: tickcast.Connection) -> None:
        if connection.goaway is not None and not goaways:
            goaways.append(connection.goaway)
            proxy.cut()  # At once: long before its time.
        if connection.next_attempt_at is not None:
            tries.append(connection.next_attempt_at)

    async with tickcast.connect(proxy.url, backoff=Backoff(0.01, 0.02)) as tick:
        await within(tick.ticker("sim:*").ready())
        tick.on_connection(hear)
        await proxy.send(
            {
                "channel": "system",
                "type": "goaway",
                "data": [{"reconnect_after_ms": 3_000, "reason": "drain"}],
            }
        )
        await until(lambda: tick.connection.reconnects == 1, "another connection")
        (goaway,) = goaways
        assert abs(tries[0] - goaway.closes_at) < 1
        assert tick.connection.since >= goaway.closes_at


async def test_goaway_without_a_close_is_left_when_its_time_has_come(proxy: FaultProxy) -> None:
    async with tickcast.connect(proxy.url, backoff=QUICK) as tick:
        held = await within(tick.ticker("sim:*").ready())
        await proxy.send(
            {
                "channel": "system",
                "type": "goaway",
                "data": [{"reconnect_after_ms": 300, "reason": "drain"}],
            }
        )
        await until(lambda: tick.connection.reconnects == 1, "another connection")
        await within(held.ready())


async def test_unknown_channels_fields_and_methods_are_ignored(proxy: FaultProxy) -> None:
    async with tickcast.connect(proxy.url) as tick:
        held = await within(tick.ticker("sim:*").ready())

        def add(message: Message) -> list[Message]:
            for item in message.get("data", []):
                item["mood"] = "sunny"
            return [
                message,
                {"channel": "weather", "data": [{"symbol": "sim:S0-USD"}]},
                {"method": "dance"},
            ]

        proxy.fault = add
        seq = held["sim:S0-USD"].seq
        await until(lambda: held["sim:S0-USD"].seq > seq + 5, "updates")
        assert "mood" not in held["sim:S0-USD"].raw
        assert tick.connection.reconnects == 0


async def test_messages_that_cannot_be_read_end_the_connection_and_it_comes_back(
    proxy: FaultProxy,
) -> None:
    async with tickcast.connect(proxy.url, backoff=QUICK) as tick:
        held = await within(tick.ticker("sim:*").ready())
        broken: list[Message] = [
            {"channel": "ticker", "type": "update", "data": [{"symbol": "sim:S0-USD"}]},
            {"channel": "ticker", "type": "update", "data": 7},
            {"channel": "system", "type": "goaway", "data": []},
        ]
        while broken:
            await proxy.send(broken.pop())
            await until(lambda: tick.connection.reconnects == 3 - len(broken), "another connection")
            await within(held.ready())


async def test_retry_after_of_a_refused_handshake_is_kept_to(proxy: FaultProxy) -> None:
    proxy.refuse(503, json.dumps({"code": 4503, "error": "full"}))
    async with tickcast.connect(proxy.url, backoff=QUICK, transport="websocket") as tick:
        await until(lambda: tick.connection.attempt >= 2, "two tries")
        assert tick.connection.reason == tickcast.Reason(4503, "full")
        proxy.accept()
        await within(tick.wait_live())


async def test_blocked_websockets_fall_back_to_event_streams(service: Service) -> None:
    async with Blockade(service.host, service.port) as blockade:
        async with tickcast.connect(blockade.url, backoff=QUICK) as tick:
            held = await within(tick.ticker(["sim:S0-USD", "sim:NOPE"]).ready())
            assert tick.connection.transport == "sse" and tick.connection.state == "live"
            assert held.failed["sim:NOPE"].code == 4404
            await assert_equals_snapshot(service.url, held)
            with pytest.raises(tickcast.NotLiveError):
                await tick.stats()
        only = tickcast.connect(blockade.url, backoff=QUICK, transport="websocket")
        async with only as tick:
            await until(lambda: tick.connection.attempt > 2, "tries")
            assert tick.connection.transport == "websocket"


async def test_websockets_that_open_and_say_nothing_fall_back_to_event_streams(
    service: Service,
) -> None:
    async with Blockade(service.host, service.port, is_mute=True) as blockade:
        client = tickcast.connect(blockade.url, backoff=QUICK, open_timeout_s=3.0)
        async with client as tick:
            await within(tick.ticker("sim:S0-USD").ready())
            assert tick.connection.transport == "sse" and tick.connection.state == "live"


async def test_any_reconnect_may_be_asked_for(proxy: FaultProxy) -> None:
    async with tickcast.connect(proxy.url, backoff=Backoff(30, 60)) as tick:
        held = await within(tick.ticker("sim:*").ready())
        tick.reconnect()
        await until(lambda: tick.connection.reconnects == 1, "another connection")
        proxy.cut()
        await until(lambda: tick.connection.state == "reconnecting", "reconnecting")
        tick.reconnect()  # Not in thirty seconds: now.
        await until(lambda: tick.connection.reconnects == 2, "another connection")
        await within(held.ready())


async def test_a_reconnect_that_is_asked_for_as_a_loss_is_told_is_not_forgotten(
    proxy: FaultProxy,
) -> None:
    told: list[tickcast.Connection] = []

    async with tickcast.connect(proxy.url, backoff=Backoff(3_600, 3_600)) as tick:

        def hurry(connection: tickcast.Connection) -> None:
            if connection.state == "reconnecting":
                if not told:
                    tick.reconnect()
                told.append(connection)

        held = await within(tick.ticker("sim:*").ready())
        tick.on_connection(hurry)
        proxy.cut()
        await until(lambda: tick.connection.reconnects == 1, "another connection")
        await within(held.ready())


def test_the_proxy_is_typed() -> None:
    """Keeps `Any` out of the way of a fault's signature."""
    fault: Callable[[Message], list[Message]] = every(1, lambda message: [message])
    sent: dict[str, Any] = {"channel": "ticker", "data": []}
    assert fault(sent) == [sent]
