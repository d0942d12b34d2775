"""The small parts: patterns, addresses, options, back-off, events, requests over HTTP."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tickcast
from tickcast.address import address
from tickcast.backoff import Backoff, Pace
from tickcast.batch import Claim, gather
from tickcast.codec import JsonCodec
from tickcast.errors import ProtocolFault
from tickcast.options import wire_options
from tickcast.pattern import ByPattern, Names, checked, matches
from tickcast.plan import Entry, Plan, Wish
from tickcast.sse_link import EventParser, query
from tickcast.words import REQUEST_BYTES_MAX, REQUEST_SYMBOLS_MAX, StreamKey


@pytest.mark.parametrize(
    ("pattern", "symbol", "expected"),
    [
        ("kraken:BTC-USD", "kraken:BTC-USD", True),
        ("BTC-USD", "kraken:BTC-USD", True),
        ("USD", "kraken:BTC-USD", False),
        ("*", "kraken:BTC-USD", True),
        ("kraken:*", "kraken:BTC-USD", True),
        ("*USD", "kraken:BTC-USD", True),
        ("*:BTC-*", "kraken:BTC-USD", True),
        ("k*n:*C*D", "kraken:BTC-USD", True),
        ("kraken:BTC-USD*BTC-USD", "kraken:BTC-USD", False),
        ("kraken:BTC.USD*", "kraken:BTC-USD", False),
        ("sim:*", "kraken:BTC-USD", False),
    ],
)
def test_patterns_mean_what_the_service_takes_them_for(
    pattern: str, symbol: str, expected: bool
) -> None:
    assert matches(pattern, symbol) is expected


@given(
    st.lists(st.text(alphabet="ab:*", min_size=1, max_size=5), max_size=5),
    st.text(alphabet="ab:", max_size=6),
)
def test_names_that_are_looked_up_often_mean_the_same(patterns: list[str], symbol: str) -> None:
    exact = [pattern for pattern in patterns if "*" not in pattern]
    assert Names(patterns).have(symbol) == any(matches(name, symbol) for name in exact)
    by_pattern = ByPattern[str]()
    for pattern in patterns:
        by_pattern[pattern] = pattern
    found = {*by_pattern.exact(symbol), *by_pattern.globs(symbol)}
    assert found == {pattern for pattern in patterns if matches(pattern, symbol)}
    for pattern in set(patterns):
        assert by_pattern.leave(pattern) == pattern
    assert not by_pattern and not [*by_pattern.exact(symbol), *by_pattern.globs(symbol)]


WORDS = st.text(alphabet="ab:*-", max_size=8)


@given(WORDS, st.text(alphabet="ab:-", max_size=12))
def test_globs_match_like_a_plain_regular_expression(pattern: str, symbol: str) -> None:
    if "*" in pattern:
        plain = ".*".join(map(re.escape, pattern.split("*")))
        assert matches(pattern, symbol) == (re.fullmatch(plain, symbol) is not None)


@pytest.mark.parametrize("symbols", ["", [], ["a", ""], ["x" * 129], [7]])
def test_symbols_that_no_service_reads_are_refused(symbols: Any) -> None:
    with pytest.raises(ValueError, match="symbols"):
        checked(symbols)


def test_symbols_keep_their_order_and_come_once() -> None:
    assert checked(["b", "a", "b"]) == ("b", "a") and checked("a") == ("a",)


@pytest.mark.parametrize(
    ("url", "websocket"),
    [
        ("ws://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/ws"),
        ("http://127.0.0.1:8080/", "ws://127.0.0.1:8080/v1/ws"),
        ("wss://data.example", "wss://data.example/v1/ws"),
        ("https://data.example:443/feeds/", "wss://data.example/feeds/v1/ws"),
        ("ws://[::1]:8080/v1/ws", "ws://[::1]:8080/v1/ws"),
    ],
)
def test_addresses_are_made_of_the_one_that_is_given(url: str, websocket: str) -> None:
    assert address(url).websocket == websocket


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8080", "ftp://a", "ws://", "ws://a:x", "ws://a?b=c"]
)
def test_addresses_that_are_none_are_named(url: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(url))):
        tickcast.connect(url)


@pytest.mark.parametrize(
    "option",
    [{"encoding": "xml"}, {"transport": "carrier-pigeon"}, {"token": 7}],
)
def test_options_of_connect_are_checked(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        tickcast.connect("ws://a", **option)


@pytest.mark.parametrize(
    ("channel", "option"),
    [
        ("ticker", {"max_rate": 0}),
        ("ticker", {"max_rate": True}),
        ("ticker", {"max_rate": "5"}),
        ("ticker", {"fields": ["lst"]}),
        ("ticker", {"fields": "last"}),
        ("ticker", {"fields": []}),
        ("ticker", {"depth": 10}),
        ("book", {"depth": 11}),
        ("trades", {"snapshot": 1}),
        ("bars", {"interval": "1s"}),
    ],
)
def test_options_of_subscriptions_are_checked(channel: Any, option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        wire_options(channel, option)


async def test_an_interval_that_is_none_is_named() -> None:
    wrong: Any = "2m"
    with pytest.raises(ValueError, match="interval: '2m'"):
        tickcast.connect("ws://a").bars("a:X", interval=wrong)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_the_back_off_doubles_has_jitter_and_a_maximum(attempt: int, jitter: float) -> None:
    wait = Backoff(base_s=0.5, max_s=30).wait_s(attempt, jitter)
    whole = min(30.0, 0.5 * 2.0 ** min(attempt, 64))
    assert whole / 2 <= wait <= whole


def test_a_back_off_that_makes_no_sense_is_refused() -> None:
    for base, most in ((0, 1), (2, 1), (-1, 1)):
        with pytest.raises(ValueError, match="backoff"):
            Backoff(base, most)


@given(st.lists(st.floats(0, 2), max_size=200))
def test_a_pace_is_never_faster_than_its_burst_and_rate(pauses: list[float]) -> None:
    pace, now = Pace(5, 10.0), 0.0
    used: list[float] = []
    for pause in pauses:
        now += pause
        now += pace.wait_s(now)
        used.append(now)
    for at, first in enumerate(used):
        for count, last in enumerate(used[at:], 1):
            assert count <= 5 + (last - first) * 10 + 1 + 1e-6


@given(st.integers(1, 40))
def test_events_are_read_however_they_are_cut(size: int) -> None:
    text = (
        b': hello\r\nevent: ticker\nid: 7-9\ndata: {"channel":"ticker"}\n\n'
        b'event:system\ndata:{"a":\ndata: 1}\n\nretry: 3\n\ndata: {}\n'
    )
    parser = EventParser()
    events = []
    for at in range(0, len(text), size):
        events += parser.feed(text[at : at + size])
    assert events == [("ticker", {"channel": "ticker"}), ("system", {"a": 1})]


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: []\n\n"])
def test_events_without_a_message_are_faults(data: bytes) -> None:
    with pytest.raises(ProtocolFault):
        EventParser().feed(data)


def test_a_query_says_what_a_request_would() -> None:
    params = {"channel": "trades", "symbol": ["sim:*", "a:X&Y"], "snapshot": False, "since": {}}
    assert query(params) == "channel=trades&symbol=sim:*,a:X%26Y&snapshot=false"


@pytest.mark.parametrize("text", ["", "[1]", "{", "7", '"a"', "[" * 100_000])
def test_what_is_no_message_is_a_fault(text: str) -> None:
    with pytest.raises(ProtocolFault):
        JsonCodec().decode(text)


def test_long_lists_of_names_are_spread_over_requests_that_a_service_reads() -> None:
    plan = Plan()
    names = tuple(f"venue-with-a-long-name:{'X' * 90}{n}" for n in range(1200))
    plan.add(1, Wish(StreamKey("ticker"), {}, names))

    def claims(entry: Entry) -> list[Claim]:
        return [Claim(name, 2**53, 2**53) for name in entry.patterns]

    for is_claimed in (False, True):
        batches = gather(plan.entries, claims if is_claimed else lambda _: [], REQUEST_BYTES_MAX)
        assert [name for batch in batches for name in batch.params()["symbol"]] == list(names)
        for batch in batches:
            assert bool(batch.since) == is_claimed
            assert len(batch.params()["symbol"]) <= REQUEST_SYMBOLS_MAX
            assert len(JsonCodec().encode({"params": batch.params()})) <= REQUEST_BYTES_MAX


def test_requests_that_are_gathered_claim_for_each_name_what_fits_beside_it() -> None:
    plan = Plan()
    for owner in range(2000):
        plan.add(owner, Wish(StreamKey("ticker"), {"max_rate": 4}, (f"a:{owner}",)))
    batches = gather(plan.entries, lambda e: [Claim(e.patterns[0], 1, 1)], REQUEST_BYTES_MAX)
    assert len(batches) < 8
    for batch in batches:
        assert list(batch.since) == batch.params()["symbol"]
        assert len(JsonCodec().encode({"params": batch.params()})) <= REQUEST_BYTES_MAX


def test_globs_are_said_in_the_order_in_which_they_were_wished_for() -> None:
    plan = Plan()
    for owner, (pattern, rate) in enumerate(
        [("a:*", 1), ("a:X", 1), ("*", 4), ("b:*", 1), ("a:Y", 4), ("c:*", 1)]
    ):
        plan.add(owner, Wish(StreamKey("ticker"), {"max_rate": rate}, (pattern,)))
    batches = gather(plan.entries, lambda entry: [], REQUEST_BYTES_MAX)
    said = [batch.params()["symbol"] for batch in batches]
    assert said == [["a:*", "a:X"], ["*", "a:Y"], ["b:*", "c:*"]]
