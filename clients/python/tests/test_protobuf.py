"""The binary encoding against the golden vectors, against JSON of the same service, and against
whatever bytes may come."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Service
from fault_proxy import FaultProxy
from hypothesis import given
from hypothesis import strategies as st
from patience import until, within
from test_service import assert_equals_snapshot

import tickcast
from tickcast.errors import ProtocolFault
from tickcast.protobuf import METHODS, ProtobufCodec
from tickcast.protobuf_wire import decimal_text, inner, scan, signed, text
from tickcast.words import INTERVALS, TICKER_FIELDS

GOLDEN = json.loads((Path(__file__).resolve().parents[2] / "golden" / "v1.json").read_text())


def test_every_golden_message_decodes_to_its_very_json() -> None:
    codec = ProtobufCodec()
    for golden in GOLDEN["messages"]:
        assert codec.decode(bytes.fromhex(golden["protobuf"])) == golden["json"]


@pytest.mark.parametrize("golden", GOLDEN["requests"], ids=lambda g: g["protobuf"][:24])
def test_every_golden_request_encodes_to_its_very_bytes(golden: dict[str, Any]) -> None:
    assert ProtobufCodec().encode(golden["json"]).hex() == golden["protobuf"]


def test_there_is_a_golden_message_of_every_kind() -> None:
    kinds = {(g["json"].get("channel"), g["json"].get("type")) for g in GOLDEN["messages"]}
    assert {
        ("ticker", "update"),
        ("book", "update"),
        ("trades", "update"),
        ("bars", "update"),
    } < kinds
    assert {g["json"]["method"] for g in GOLDEN["requests"]} == set(METHODS) - {None}


def test_an_update_of_a_stream_that_was_not_opened_says_so() -> None:
    update = next(g for g in GOLDEN["messages"] if g["json"].get("type") == "update")
    message = ProtobufCodec().decode(bytes.fromhex(update["protobuf"]))
    assert message == {"channel": update["json"]["channel"], "type": "unopened"}


def test_unknown_fields_and_kinds_are_ignored() -> None:
    codec = ProtobufCodec()
    assert codec.decode(b"") == {}
    assert codec.decode(bytes.fromhex("a20603010203")) == {}
    heartbeat = bytes.fromhex("32090894f4e6deafbd9203")
    more = heartbeat[:1] + bytes([heartbeat[1] + 3]) + heartbeat[2:] + bytes.fromhex("f80101")
    assert codec.decode(more) == {"channel": "heartbeat", "ts_publish": 1770123456789012}


@given(st.sampled_from(GOLDEN["messages"]), st.data())
def test_damaged_messages_are_faults_and_no_crash(
    golden: dict[str, Any], data: st.DataObject
) -> None:
    bytes_ = bytearray.fromhex(golden["protobuf"])
    at = data.draw(st.integers(0, len(bytes_) - 1))
    bytes_[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(bytes_)))
    for damaged in (bytes(bytes_), bytes(bytes_[:cut])):
        try:
            assert isinstance(ProtobufCodec().decode(damaged), dict)
        except ProtocolFault:
            pass


@given(st.binary(max_size=64))
def test_any_bytes_are_a_message_or_a_fault(data: bytes) -> None:
    try:
        assert isinstance(ProtobufCodec().decode(data), dict)
    except ProtocolFault:
        pass


def test_text_is_a_fault() -> None:
    with pytest.raises(ProtocolFault, match="text"):
        ProtobufCodec().decode("{}")


@given(st.integers(-(2**63), 2**127), st.integers(0, 18))
def test_a_mantissa_is_written_with_all_its_decimals(mantissa: int, scale: int) -> None:
    shown = decimal_text(mantissa, scale)
    assert int(shown.replace(".", "")) == mantissa
    assert len(shown.partition(".")[2]) == scale and shown.lstrip("-")[0].isdigit()


@given(
    st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20),
    st.dictionaries(
        st.text(max_size=9), st.tuples(st.integers(0, 2**53), st.integers(0, 2**53)), max_size=4
    ),
    st.lists(st.sampled_from(TICKER_FIELDS), unique=True, min_size=1),
    st.sampled_from(INTERVALS),
)
def test_requests_carry_what_they_are_given(
    req_id: int | str, held: dict[str, tuple[int, int]], fields: list[str], interval: str
) -> None:
    since = {symbol: {"epoch": epoch, "seq": seq} for symbol, (epoch, seq) in held.items()}
    params = {
        "channel": "bars",
        "symbol": ["a:B"],
        "fields": fields,
        "interval": interval,
        "since": since,
    }
    request = {"method": "subscribe", "req_id": req_id, "params": params}
    outer = dict(scan(ProtobufCodec().encode(request)))
    read_id = dict(scan(inner(outer[1])))
    assert req_id == (text(read_id[2]) if 2 in read_id else signed(int(read_id[1])))
    body = scan(inner(outer[2]))
    assert [TICKER_FIELDS[at - 1] for n, v in body if n == 4 for at in inner(v)] == fields
    claimed = {}
    for value in (inner(v) for n, v in body if n == 8):
        entry = dict(scan(value))
        place = dict(scan(inner(entry[2])))
        claimed[text(entry[1])] = {"epoch": place.get(1, 0), "seq": place.get(2, 0)}
    assert claimed == since and dict(body)[6] == INTERVALS.index(interval) + 1


async def test_every_channel_holds_what_the_snapshot_says(service: Service) -> None:
    async with tickcast.connect(service.url, encoding="protobuf", verify_checksums=True) as tick:
        ticker = tick.ticker(["sim:*", "sim:NOPE"], max_rate=10)
        trades = tick.trades("sim:*")
        book = tick.book("sim:*", depth=25)
        bars = tick.bars("sim:*", interval="1s")
        for held in (ticker, trades, book, bars):
            await within(held.ready())
            assert len(held) == 5
        await until(lambda: all(t.seq > 1 for t in ticker.values()), "updates of all tickers")
        await assert_equals_snapshot(service.url, ticker)
        await assert_equals_snapshot(service.url, trades)
        await assert_equals_snapshot(service.url, book, depth=25)
        await assert_equals_snapshot(service.url, bars, interval="1s")
        connection = tick.connection
        assert (connection.encoding, connection.resyncs, connection.checksum_failures) == (
            "protobuf", 0, 0,
        )  # fmt: skip
        assert ticker.failed["sim:NOPE"].code == 4404
        assert (await within(tick.stats())).subscriptions == 4
        assert (await within(tick.ping())).rtt_us > 0
        seqs = {t.symbol: (t.epoch, t.seq) for t in book.values()}
        tick.reconnect()
        await until(lambda: tick.connection.reconnects == 1, "another connection")
        await within(book.ready())
        assert all(seqs[b.symbol][0] == b.epoch for b in book.values())
        await assert_equals_snapshot(service.url, book, depth=25)
        assert tick.connection.resyncs == 0


async def test_a_service_that_does_not_speak_it_is_not_asked_again(proxy: FaultProxy) -> None:
    error: dict[str, Any] = {
        "code": 4400,
        "error": "none of the subprotocols offered is spoken here",
    }
    proxy.refuse(400, json.dumps(error))
    async with tickcast.connect(proxy.url, encoding="protobuf") as tick:
        await within(tick.wait_closed())
        assert tick.connection.reason == tickcast.Reason(4400, error["error"])
