"""Many subscriptions, few requests: what is wished for at once is asked for at once, and each
subscription hears of its own part."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from conftest import Service
from fault_proxy import FaultProxy
from patience import until, within
from test_session import TICKER, Stage

import tickcast
from tickcast.errors import Failure
from tickcast.words import StreamKey

MANY = 300


@pytest.fixture
def stage() -> Stage:
    """A live session."""
    stage = Stage()
    stage.live()
    return stage


def names(count: int = MANY) -> list[str]:
    return [f"sim:S{at}-USD" for at in range(count)]


def wish_each(stage: Stage, symbols: list[str], **options: Any) -> None:
    for owner, symbol in enumerate(symbols, start=1):
        stage.wish(owner, symbol, **options)


def test_what_is_wished_for_at_once_is_one_request(stage: Stage) -> None:
    wish_each(stage, names(), max_rate=4)
    (request,) = stage.take()
    assert request["params"] == {"channel": "ticker", "symbol": names(), "max_rate": 4}
    stage.grant(request)
    assert stage.notes.parts == [(at + 1, [name], True) for at, name in enumerate(names())]


def test_other_options_channels_and_intervals_are_requests_of_their_own(stage: Stage) -> None:
    stage.wish(1, "a:X", max_rate=4)
    stage.wish(2, "a:Y")
    stage.wish(3, "a:Z", max_rate=4)
    stage.wish(4, "a:X", key=StreamKey("trades"))
    stage.wish(5, "a:X", key=StreamKey("bars", "1s"))
    stage.wish(6, "a:X", key=StreamKey("bars", "1m"))
    said = [(r["params"]["channel"], r["params"]["symbol"]) for r in stage.take()]
    assert said == [
        ("ticker", ["a:X", "a:Z"]), ("ticker", ["a:Y"]), ("trades", ["a:X"]),
        ("bars", ["a:X"]), ("bars", ["a:X"]),
    ]  # fmt: skip


def test_a_name_that_fails_is_reported_to_whoever_asked_for_it(stage: Stage) -> None:
    wish_each(stage, ["a:X", "a:NOPE", "X"])
    (request,) = stage.take()
    failed = [{"symbol": "a:NOPE", "code": 4404, "error": "unknown symbol"}]
    stage.grant(request, symbol=["a:X"], failed=failed)
    assert stage.notes.failures == [(2, "a:NOPE", 4404)]
    assert stage.notes.parts == [(1, ["a:X"], True), (2, [], True), (3, ["a:X"], True)]


def test_a_refusal_is_of_the_one_that_is_to_blame(stage: Stage) -> None:
    wish_each(stage, names(8))
    served: list[str] = []
    requests = stage.take()
    while requests:
        request = requests.pop(0)
        if "sim:S5-USD" in request["params"]["symbol"]:
            stage.refuse(request, 4400, "a bad name")
        else:
            served += request["params"]["symbol"]
            stage.grant(request)
        requests += stage.take()
    assert stage.notes.failures == [(6, "sim:S5-USD", 4400)]
    assert sorted(served) == [name for name in names(8) if name != "sim:S5-USD"]


def test_two_who_ask_for_the_same_are_both_told(stage: Stage) -> None:
    stage.wish(1, "a:X", max_rate=1)
    stage.wish(2, "a:X", max_rate=4)
    (request,) = stage.take()
    assert request["params"]["max_rate"] == 4
    stage.grant(request)
    assert sorted(stage.notes.parts) == [(1, ["a:X"], False), (2, ["a:X"], True)]


def test_what_ends_at_once_is_one_request_and_what_never_began_is_none(stage: Stage) -> None:
    wish_each(stage, names())
    (request,) = stage.take()
    stage.grant(request)
    stage.wish(MANY + 1, "a:NEVER")
    stage.session.unsubscribe(MANY + 1, TICKER, ("a:NEVER",))
    for owner, name in enumerate(names(), start=1):
        stage.session.unsubscribe(owner, TICKER, (name,))
    (ended,) = stage.take()
    assert ended["method"] == "unsubscribe"
    assert ended["params"] == {"channel": "ticker", "symbol": names()}


def test_what_begins_again_is_ended_first(stage: Stage) -> None:
    stage.subscribe(1, "a:X")
    stage.session.unsubscribe(1, TICKER, ("a:X",))
    stage.wish(2, "a:X")
    assert [request["method"] for request in stage.take()] == ["unsubscribe", "subscribe"]


def test_a_new_connection_takes_few_requests_with_since_for_each(stage: Stage) -> None:
    wish_each(stage, names(), fields=["last"])
    for seq, name in enumerate(names(), start=1):
        stage.ticker("snapshot", name, seq)
    stage.session.disconnected()
    (request,) = stage.live()
    assert request["params"]["symbol"] == names()
    assert request["params"]["since"] == {
        name: {"epoch": 1, "seq": seq} for seq, name in enumerate(names(), start=1)
    }
    stage.refuse(request, 4503)
    at = stage.session.asking.next_at()
    assert at is not None and at > stage.now
    stage.now = at
    (again,) = stage.take()
    assert again["params"] == request["params"], "it is not answered yet"


def test_gaps_of_many_subscriptions_are_asked_for_in_one_request(stage: Stage) -> None:
    wish_each(stage, names(), fields=["last"])
    stage.take()
    for name in names(5):
        stage.ticker("snapshot", name, 1)
        stage.ticker("update", name, 4, prev=3)
    (request,) = stage.take()
    assert request["params"]["symbol"] == names(5)
    assert request["params"]["since"] == {name: {"epoch": 1, "seq": 1} for name in names(5)}


def test_a_service_that_reads_less_is_asked_in_shorter_requests(stage: Stage) -> None:
    stage.session.asking.request_bytes_max = 2_000
    wish_each(stage, names(), fields=["last"])
    requests = stage.take()
    assert [n for request in requests for n in request["params"]["symbol"]] == names()
    assert 1 < len(requests) < 10 and all(len(str(request)) <= 2_000 for request in requests)


def is_current(held: tickcast.Subscription[tickcast.Book]) -> bool:
    return [book.state for book in held.values()] == ["live"]


@pytest_asyncio.fixture
async def crowd(start: Callable[..., Service]) -> AsyncIterator[FaultProxy]:
    """A proxy before a service of many instruments."""
    service = start("--sim-instruments", f"{MANY}", "--sim-rate", "100")
    async with FaultProxy(service.url) as running:
        yield running


async def test_hundreds_of_calls_take_a_few_requests(crowd: FaultProxy) -> None:
    nope: list[tuple[str, Failure]] = []
    async with tickcast.connect(crowd.url) as tick:
        await within(tick.wait_live())
        books = [tick.book(name) for name in names()]
        wrong = tick.book("sim:NOPE")
        wrong.on_failed(lambda symbol, failure: nope.append((symbol, failure)))
        await within(asyncio.gather(*(held.ready() for held in books)))
        for held, name in zip(books, names(), strict=True):
            assert [book.symbol for book in held.values()] == [name]
            assert held.granted is not None and held.granted.symbols == (name,)
        await until(lambda: nope, "the name that is not served")
        assert [(symbol, failure.code) for symbol, failure in nope] == [("sim:NOPE", 4404)]
        assert len(crowd.asked("subscribe")) <= 3
        crowd.requests.clear()
        crowd.cut()
        await until(lambda: tick.connection.reconnects == 1, "the next connection")
        await until(lambda: all(map(is_current, books)), "all of them current")
        asked = crowd.asked("subscribe")
        assert len(asked) <= 3
        claimed = {name for request in asked for name in request["params"].get("since", {})}
        assert claimed == set(names())
        crowd.requests.clear()
        for held in [*books, wrong]:
            held.close()
        while (await within(tick.stats())).subscriptions > 0:
            pass
        assert len(crowd.asked("unsubscribe")) <= 3


async def test_hundreds_of_event_streams_are_gathered_too(crowd: FaultProxy) -> None:
    async with tickcast.connect(crowd.service_url, transport="sse") as tick:
        held = [tick.ticker(name) for name in names()]
        await within(asyncio.gather(*(one.ready() for one in held)))
        assert [one.values()[0].symbol for one in held] == names()
