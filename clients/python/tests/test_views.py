"""What is held of each channel: tickers, trades, books and bars."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickcast.bars import BARS_MAX, BarsView
from tickcast.book import BookView, Ladder, book_checksum, level_digits
from tickcast.rule import Verdict
from tickcast.ticker import TickerView
from tickcast.trades import TRADES_MAX, TradesView
from tickcast.view import ChecksumFailure, View, Violation
from tickcast.words import StreamKey

SYMBOL = "kraken:BTC-USD"


def snapshot(view: View[Any], seq: int, epoch: int = 1, **more: Any) -> Verdict:
    """Takes a snapshot in."""
    item = {
        "symbol": SYMBOL,
        "epoch": epoch,
        "seq": seq,
        "state": "live",
        "ts_event": 1,
        "ts_publish": 2,
    }
    return view.take({**item, **more}, True, 3)


def update(view: View[Any], prev: int, seq: int, epoch: int = 1, **more: Any) -> Verdict:
    """Takes an update in."""
    item = {
        "symbol": SYMBOL,
        "epoch": epoch,
        "prev": prev,
        "seq": seq,
        "ts_event": 4,
        "ts_publish": 5,
    }
    return view.take({**item, **more}, False, 6)


def trade(seq: int) -> dict[str, Any]:
    """A trade."""
    return {
        "seq": seq,
        "id": str(seq),
        "price": "1.50",
        "size": "2",
        "side": "buy",
        "ts_event": seq,
    }


def bar(start: int, close: str = "1.0") -> dict[str, Any]:
    """A bar."""
    prices = {"open": "1.0", "high": "2.0", "low": "0.5", "close": close, "volume": "9.00"}
    return {"start": start, **prices, "trades": 3, "closed": False}


def test_a_ticker_is_a_picture_of_one_moment_with_exact_numbers() -> None:
    view = TickerView(SYMBOL, StreamKey("ticker"))
    snapshot(view, 1, last="68900.50", bid="0.00000001", ask=None, mood="sunny")
    before = view.value("live")
    assert view.value("live") is before
    update(view, 1, 2, last="68901.00", bid=None, high="7", mood="grey")
    after = view.value("live")
    assert (before.last, before.bid, before.ask) == (Decimal("68900.50"), Decimal("1e-8"), None)
    assert before.texts == {"last": "68900.50", "bid": "0.00000001", "ask": None}
    assert (after.last, after.bid, after.high) == (Decimal("68901.00"), None, None)
    assert after.mid is None and after.spread is None
    assert (after.ts_event, after.ts_publish, after.received_at) == (4, 5, 6)
    assert view.value("stale").stale and not after.stale
    assert "68901.00" in repr(after)


def test_a_ticker_claims_only_the_fields_that_it_holds() -> None:
    view = TickerView(SYMBOL, StreamKey("ticker"))
    snapshot(view, 1, last="1", bid="2")
    assert view.claims({"fields": ["bid", "last"]})
    assert not view.claims({}) and not view.claims({"fields": ["last"]})
    view.restrict({"fields": ["last"]})
    assert view.claims({"fields": ["last"]}) and view.value("live").bid is None


def test_trades_are_dense_bounded_and_told_to_each_consumer_once() -> None:
    view = TradesView(SYMBOL, StreamKey("trades"))
    snapshot(view, 5, trades=[trade(4), trade(5)])
    first = view.value_since("live", None)
    assert [t.seq for t in first.fresh] == [4, 5] and first.missed == 0
    update(view, 4, 7, trades=[trade(5), trade(6), trade(7)])
    assert [t.seq for t in view.value("live").fresh] == [6, 7]
    second = view.value_since("live", view.mark(first))
    assert [t.seq for t in second.fresh] == [6, 7] and second.missed == 0
    assert [t.seq for t in first.trades] == [4, 5], "a value does not change"
    third = view.value_since("live", view.mark(second))
    assert third.fresh == () and third.missed == 0
    update(view, 7, 20, trades=[trade(19), trade(20)])
    assert view.missed == 11
    assert view.value_since("live", view.mark(second)).missed == 11
    update(view, 20, 22, trades=[])
    assert view.missed == 13


def test_a_consumer_that_is_lapped_by_the_ring_knows_what_it_missed() -> None:
    view = TradesView(SYMBOL, StreamKey("trades"))
    snapshot(view, 0, trades=[])
    mark = view.mark(view.value_since("live", None))
    update(view, 0, 5, trades=[trade(n) for n in range(1, 6)])
    update(view, 5, 5 + TRADES_MAX, trades=[trade(5 + n) for n in range(1, TRADES_MAX + 1)])
    late = view.value_since("live", mark)
    assert (len(late.trades), late.fresh[0].seq, late.missed, view.missed) == (TRADES_MAX, 6, 5, 0)
    snapshot(view, 2, epoch=2, trades=[trade(1), trade(2)])
    again = view.value_since("live", view.mark(late))
    assert [t.seq for t in again.fresh] == [1, 2] and again.missed == 5


def test_trades_that_are_not_dense_are_given_up() -> None:
    view = TradesView(SYMBOL, StreamKey("trades"))
    snapshot(view, 0, trades=[])
    with pytest.raises(Violation):
        update(view, 0, 3, trades=[trade(1), trade(3)])
    assert not view.rule.holds


def test_bars_are_replaced_added_late_and_bounded() -> None:
    view = BarsView(SYMBOL, StreamKey("bars", "1m"))
    snapshot(view, 1, bars=[bar(60), bar(180)])
    first = view.value_since("live", None)
    assert [b.start for b in first.changed] == [60, 180]
    update(view, 1, 2, bars=[bar(180, "1.5")])
    update(view, 2, 3, bars=[bar(120), bar(240)])
    second = view.value_since("live", view.mark(first))
    assert [b.start for b in second.bars] == [60, 120, 180, 240]
    assert [b.start for b in second.changed] == [120, 180, 240]
    assert [b.start for b in view.value("live").changed] == [120, 240]
    assert second.bars[2].close == Decimal("1.5") and first.bars[1].close == Decimal("1.0")
    update(view, 3, 4, bars=[bar(60 * n) for n in range(5, 5 + BARS_MAX)])
    assert len(view.value("live").bars) == BARS_MAX == len(view.stamps)


# The first lines are Kraken's own example of the checksum.
KRAKEN_ASKS = (
    ("45285.2", "0.00100000"), ("45286.4", "1.54571953"), ("45286.6", "1.54571109"),
    ("45289.6", "1.54560911"), ("45290.2", "0.15890660"), ("45291.8", "1.54553491"),
    ("45294.7", "0.04454749"), ("45296.1", "0.35380000"), ("45297.5", "0.09945542"),
    ("45299.5", "0.18772827"),
)  # fmt: skip
KRAKEN_BIDS = (
    ("45283.5", "0.10000000"), ("45283.4", "1.54582015"), ("45282.1", "0.10000000"),
    ("45281.0", "0.10000000"), ("45280.3", "1.54592586"), ("45279.0", "0.07990000"),
    ("45277.6", "0.03310103"), ("45277.5", "0.30000000"), ("45277.3", "1.54602737"),
    ("45276.6", "0.15445238"),
)  # fmt: skip


def checksum(bids: tuple[tuple[str, str], ...], asks: tuple[tuple[str, str], ...]) -> int:
    """The checksum of levels."""
    return book_checksum([level_digits(*one) for one in bids], [level_digits(*one) for one in asks])


def test_the_checksum_is_the_one_that_kraken_defines() -> None:
    assert checksum(KRAKEN_BIDS, KRAKEN_ASKS) == 3310070434


def book(depth: int = 10) -> BookView:
    """A book that verifies."""
    view = BookView(SYMBOL, StreamKey("book"))
    view.verify = True
    snapshot(view, 1, depth=depth, bids=KRAKEN_BIDS, asks=KRAKEN_ASKS, checksum=3310070434)
    return view


def test_a_book_is_exact_ordered_and_checked() -> None:
    view = book()
    value = view.value("live")
    assert value.bids[0] == (Decimal("45283.5"), Decimal("0.10000000"))
    assert value.bid_texts == KRAKEN_BIDS and value.ask_texts == KRAKEN_ASKS
    price, size = value.asks[-1]
    assert (price, size) == (Decimal("45299.5"), Decimal("0.18772827"))
    bids = (("45283.5", "0"), ("45276.5", "7.00000000"))
    good = checksum((*KRAKEN_BIDS[1:], ("45276.5", "7.00000000")), KRAKEN_ASKS)
    update(view, 1, 2, depth=10, bids=bids, asks=[], checksum=good)
    assert view.value("live").bid_texts[0] == KRAKEN_BIDS[1]
    assert value.bid_texts == KRAKEN_BIDS, "a value does not change"
    with pytest.raises(ChecksumFailure):
        update(view, 2, 3, depth=10, bids=[], asks=[["45285.2", "0"]], checksum=good)
    assert not view.rule.holds


def test_a_book_of_another_depth_too_many_levels_or_another_scale_is_not_taken() -> None:
    view = book()
    assert update(view, 1, 2, depth=25, bids=[], asks=[], checksum=1) is Verdict.ASK_AGAIN
    assert view.claims({}) and not view.claims({"depth": 25})
    view.verify = False
    for levels in ([["45000.0", "1"], ["44000.0", "1"]], [["45283.55", "1"]]):
        view = book()
        view.verify = False
        with pytest.raises(Violation):
            update(view, 1, 2, depth=10, bids=levels, asks=[], checksum=1)


LEVELS = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), max_size=80)


@given(LEVELS, st.sampled_from([1, -1]))
def test_a_ladder_is_what_a_sorted_mapping_would_be(
    levels: list[tuple[int, int]], sign: int
) -> None:
    ladder, model = Ladder(sign), dict[int, int]()
    ladder.clear(verify=True)
    for price, size in levels:
        ladder.put(f"{price / 2:.1f}", str(size))
        model[price] = size
        if not size:
            del model[price]
    ordered = sorted(model.items(), reverse=sign < 0)
    assert ladder.digits == [level_digits(*level) for level in ladder.levels]
    assert ladder.levels == [(f"{price / 2:.1f}", str(size)) for price, size in ordered]


def test_frames_are_floats_to_compute_with_or_exact() -> None:
    trades = TradesView(SYMBOL, StreamKey("trades"))
    snapshot(trades, 2, trades=[trade(1), trade(2)])
    frame = trades.value("live").frame()
    assert list(frame.columns) == ["seq", "id", "price", "size", "side"]
    assert frame["price"].dtype == "float64" and frame["price"].sum() == 3.0
    assert str(frame.index[1]) == "1970-01-01 00:00:00.000002+00:00"
    exact = trades.value("live").frame(exact=True)
    assert exact["price"].iloc[0] == Decimal("1.50")
    bars = BarsView(SYMBOL, StreamKey("bars", "1m"))
    snapshot(bars, 1, bars=[bar(60_000_000), bar(120_000_000)])
    frame = bars.value("live").frame()
    assert list(frame.columns) == ["open", "high", "low", "close", "volume", "trades", "closed"]
    assert frame.index.name == "start" and frame["volume"].sum() == 18.0
    assert bars.value("live").frame(exact=True)["low"].iloc[1] == Decimal("0.5")
    snapshot(bars, 2, bars=[])
    assert bars.value("live").frame().empty
