"""The session without a socket: messages and times go in, requests and news come out."""

from typing import Any

import pytest

from tickcast.asking import ANSWER_WITHIN_S
from tickcast.errors import Failure, ProtocolFault
from tickcast.plan import Wish
from tickcast.session import Session
from tickcast.view import View
from tickcast.words import StreamKey

TICKER = StreamKey("ticker")


class Notes:
    """Who is told, and notes it."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.failures: list[tuple[int, str, int]] = []
        self.grants: list[int] = []
        self.parts: list[tuple[int, list[str], bool]] = []
        self.states: list[tuple[str, str]] = []

    def changed(self, view: View[Any]) -> None:
        self.changes.append(view.symbol)

    def status(self, symbol: str, state: str) -> None:
        self.states.append((symbol, state))

    def granted(self, owner: int, result: dict[str, Any], is_own: bool) -> None:
        self.grants.append(owner)
        self.parts.append((owner, result["symbol"], is_own))

    def failed(self, owner: int, pattern: str, failure: Failure) -> None:
        self.failures.append((owner, pattern, failure.code))


class Stage:
    """A session, and a service that says what a test wants."""

    def __init__(self) -> None:
        self.notes = Notes()
        self.session = Session(self.notes)
        self.now = 100.0

    def live(self) -> list[dict[str, Any]]:
        """A new connection; what is asked on it."""
        self.session.connected()
        return self.take()

    def take(self) -> list[dict[str, Any]]:
        """Everything that is to be asked now."""
        requests = []
        while (request := self.session.asking.take(self.now)) is not None:
            requests.append(request)
        return requests

    def wish(self, owner: int, *patterns: str, key: StreamKey = TICKER, **options: Any) -> None:
        """Subscribes, and asks nothing yet."""
        self.session.subscribe(owner, Wish(key, options, patterns))

    def subscribe(self, owner: int, *patterns: str, key: StreamKey = TICKER, **options: Any) -> Any:
        """Subscribes and gives the requests."""
        self.wish(owner, *patterns, key=key, **options)
        return self.take()

    def unsubscribe(self, owner: int, *patterns: str, key: StreamKey = TICKER) -> Any:
        """Ends a subscription and gives the requests."""
        self.session.unsubscribe(owner, key, patterns)
        return self.take()

    def say(self, message: dict[str, Any]) -> None:
        """A message comes."""
        self.session.receive(message, self.now, 7)

    def grant(self, request: dict[str, Any], **result: Any) -> None:
        """A request is granted."""
        params = request["params"]
        whole = {"channel": params["channel"], "symbol": params["symbol"], "failed": [], **result}
        self.say(
            {"method": "subscribe", "req_id": request["req_id"], "success": True, "result": whole}
        )

    def refuse(self, request: dict[str, Any], code: int, error: str = "no") -> None:
        """A request is refused."""
        req_id = request["req_id"]
        self.say(
            {
                "method": "subscribe",
                "req_id": req_id,
                "success": False,
                "code": code,
                "error": error,
            }
        )

    def ticker(self, kind: str, symbol: str, seq: int, prev: int = 0, epoch: int = 1) -> None:
        """A message of the channel `ticker`."""
        item: dict[str, Any] = {"symbol": symbol, "epoch": epoch, "seq": seq, "last": str(seq)}
        item |= {"state": "live"} if kind == "snapshot" else {"prev": prev}
        item |= {"ts_event": 1, "ts_publish": 2}
        self.say({"channel": "ticker", "type": kind, "data": [item]})

    def status(self, symbol: str, state: str, seq: int = 1) -> None:
        """A message of the channel `status`."""
        item = {"symbol": symbol, "epoch": 9, "seq": seq, "state": state, "ts_state": 1}
        self.say({"channel": "status", "type": "snapshot", "data": [item]})

    def state(self, symbol: str) -> str | None:
        """What the user reads."""
        view = self.session.holdings.view(TICKER, symbol)
        return None if view is None else self.session.holdings.state_of(view)


@pytest.fixture
def stage() -> Stage:
    """A live session."""
    stage = Stage()
    stage.live()
    return stage


def test_a_new_connection_asks_for_everything_with_what_is_held(stage: Stage) -> None:
    stage.subscribe(1, "a:X", "a:*", fields=["last"])
    stage.ticker("snapshot", "a:X", 5)
    stage.ticker("snapshot", "a:Y", 6)
    stage.session.disconnected()
    assert stage.state("a:X") == "stale" and stage.notes.changes[-2:] == ["a:X", "a:Y"]
    (request,) = stage.live()
    assert request["params"] == {
        "channel": "ticker",
        "symbol": ["a:X", "a:*"],
        "fields": ["last"],
        "since": {"a:X": {"epoch": 1, "seq": 5}, "a:Y": {"epoch": 1, "seq": 6}},
    }
    assert stage.state("a:X") == "stale", "until the service has said that it is current"
    stage.grant(request, symbol=["a:X"], globs=[{"pattern": "a:*", "matched": 2}])
    stage.ticker("update", "a:X", 5, prev=5)
    assert stage.state("a:X") == "live" and stage.state("a:Y") == "stale"


def test_what_was_not_received_as_asked_is_not_claimed(stage: Stage) -> None:
    stage.subscribe(1, "a:X")  # All fields, while the service sent one.
    stage.ticker("snapshot", "a:X", 5)
    (request,) = stage.live()
    assert "since" not in request["params"]


def test_a_gap_asks_again_once_with_the_same_options_and_that_symbol_only(stage: Stage) -> None:
    stage.subscribe(1, "a:*", max_rate=4, fields=["last"])
    for symbol in ("a:X", "a:Y", "a:Z"):
        stage.ticker("snapshot", symbol, 1)
    stage.ticker("update", "a:X", 4, prev=3)
    stage.ticker("update", "a:Y", 4, prev=3)
    stage.ticker("update", "a:Y", 5, prev=4)
    assert stage.state("a:X") == "resync" and stage.state("a:Z") == "live"
    (request,) = stage.take()
    assert request["params"] == {
        "channel": "ticker",
        "symbol": ["a:*"],
        "max_rate": 4,
        "fields": ["last"],
        "since": {"a:X": {"epoch": 1, "seq": 1}, "a:Y": {"epoch": 1, "seq": 1}},
    }
    stage.ticker("update", "a:X", 6, prev=5)
    assert stage.session.asking.next_at() is None, "an answer is on its way"
    stage.grant(request)
    stage.ticker("update", "a:X", 6, prev=1)
    assert stage.state("a:X") == "live" and stage.session.asking.resyncs == 2


def test_what_comes_late_does_not_pass_for_the_answer(stage: Stage) -> None:
    stage.subscribe(1, "a:X", fields=["last"])
    stage.ticker("snapshot", "a:X", 1)
    stage.ticker("update", "a:X", 3, prev=2)
    stage.ticker("update", "a:X", 1, prev=1)
    stage.ticker("update", "a:X", 2, prev=1)
    assert stage.state("a:X") == "resync", "3 is still missing"
    (request,) = stage.take()
    assert request["params"]["since"] == {"a:X": {"epoch": 1, "seq": 2}}
    stage.grant(request)
    stage.ticker("update", "a:X", 2, prev=2)
    assert stage.state("a:X") == "resync"
    stage.ticker("update", "a:X", 3, prev=2)
    assert stage.state("a:X") == "live"


def test_first_messages_that_are_lost_are_asked_for_since_nothing(stage: Stage) -> None:
    (request,) = stage.subscribe(1, "a:*")
    stage.status("a:X", "live")
    stage.grant(request, symbol=[], globs=[{"pattern": "a:*", "matched": 2}])
    stage.status("a:Y", "live")
    stage.now += ANSWER_WITHIN_S + 1
    stage.session.asking.expire(stage.now)
    (again,) = stage.take()
    nothing = {"epoch": 0, "seq": 0}
    assert again["params"]["since"] == {"a:X": nothing, "a:Y": nothing}


def test_a_stream_that_was_never_opened_has_its_channel_asked_for_again(stage: Stage) -> None:
    stage.subscribe(1, "a:*", fields=["last"])
    stage.ticker("snapshot", "a:X", 1)
    stage.say({"channel": "book", "type": "unopened"})
    assert stage.session.asking.next_at() is None
    stage.say({"channel": "ticker", "type": "unopened"})
    assert stage.state("a:X") == "live", "which may be of another epoch, or of another symbol"
    (request,) = stage.take()
    assert request["params"]["since"] == {"a:X": {"epoch": 1, "seq": 1}}
    stage.say({"channel": "ticker", "type": "unopened"})
    assert stage.session.asking.next_at() is None, "an answer is on its way"
    stage.grant(request, symbol=[], globs=[{"pattern": "a:*", "matched": 1}])
    stage.ticker("update", "a:X", 1, prev=1)
    stage.now += 10 * ANSWER_WITHIN_S
    stage.session.asking.expire(stage.now)
    assert stage.state("a:X") == "live" and stage.session.asking.next_at() is None


def test_whoever_keeps_answering_wrongly_is_asked_ever_more_slowly(stage: Stage) -> None:
    stage.subscribe(1, "a:X")
    waits = []
    for seq in range(1, 9):
        stage.ticker("update", "a:X", seq * 10, prev=seq * 10 - 1)
        at = stage.session.asking.next_at()
        assert at is not None
        waits.append(round(at - stage.now, 3))
        stage.now = at
        (request,) = stage.take()
        stage.grant(request)
    assert waits == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_what_is_not_answered_or_does_not_come_is_asked_for_again(stage: Stage) -> None:
    (request,) = stage.subscribe(1, "a:X")
    stage.now += ANSWER_WITHIN_S + 1
    stage.session.asking.expire(stage.now)
    (again,) = stage.take()
    assert again["params"] == request["params"] and stage.session.asking.next_at() is None
    stage.ticker("update", "a:X", 4, prev=3)
    (asked,) = stage.take()
    stage.grant(asked)
    stage.now += ANSWER_WITHIN_S + 1
    stage.session.asking.expire(stage.now)
    assert stage.session.asking.next_at() is not None, "granted, but nothing came"


def test_a_request_that_waits_to_be_sent_is_not_given_up(stage: Stage) -> None:
    stage.wish(1, "a:X")
    stage.now += 10 * ANSWER_WITHIN_S
    stage.session.asking.expire(stage.now)
    (request,) = stage.take()
    assert request["params"]["symbol"] == ["a:X"] and stage.take() == []


def test_refusals_are_final_or_for_later_by_their_code(stage: Stage) -> None:
    (request,) = stage.subscribe(1, "a:X", "a:Y")
    stage.refuse(request, 4529)
    assert stage.take() == [] and not stage.notes.failures, "not at once"
    at = stage.session.asking.next_at()
    assert at is not None
    stage.now = at
    (again,) = stage.take()
    stage.refuse(again, 4400)
    assert stage.notes.failures == [(1, "a:X", 4400), (1, "a:Y", 4400)]
    assert stage.session.asking.next_at() is None
    assert stage.live()[0]["params"]["symbol"] == ["a:X", "a:Y"], "another service may take it"


def test_a_name_that_waited_and_turned_out_unknown_fails_late(stage: Stage) -> None:
    (request,) = stage.subscribe(1, "a:X", "a:NOPE")
    stage.grant(request, symbol=["a:X"])
    assert not stage.notes.failures
    error = 'params.symbol: "a:NOPE": unknown symbol'
    stage.say({"method": "subscribe", "success": False, "code": 4404, "error": error})
    assert stage.notes.failures == [(1, "a:NOPE", 4404)]


def test_rights_that_end_are_told_without_being_asked(stage: Stage) -> None:
    (request,) = stage.subscribe(1, "a:*")
    stage.grant(request, symbol=[], globs=[{"pattern": "a:*", "matched": 1}])
    stage.ticker("snapshot", "a:X", 1)
    failed = [{"symbol": "a:X", "code": 4403, "error": "not entitled"}]
    result = {"channel": "ticker", "symbol": [], "failed": failed}
    stage.say({"method": "subscribe", "success": True, "result": result})
    assert (
        stage.notes.failures == [(1, "a:X", 4403)]
        and stage.session.holdings.view(TICKER, "a:X") is None
    )


def test_status_is_told_first_and_goes_before_what_snapshots_say(stage: Stage) -> None:
    stage.subscribe(1, "a:X")
    stage.status("a:X", "halted")
    stage.ticker("snapshot", "a:X", 1)
    assert stage.state("a:X") == "halted" and stage.session.holdings.status_of("a:X") == "halted"
    stage.status("a:X", "live", seq=2)
    assert stage.state("a:X") == "live" and stage.notes.states[-1] == ("a:X", "live")
    stage.status("b:X", "live")
    assert stage.session.holdings.status_of("b:X") is None and stage.session.counts.unexpected == 1


def test_an_exact_name_wins_over_globs_and_goes_back_to_who_had_it(stage: Stage) -> None:
    stage.subscribe(1, "a:*", max_rate=1)
    stage.subscribe(2, "a:X", max_rate=4)
    stage.subscribe(3, "a:X", max_rate=10)
    find = stage.session.plan.find
    entry = find(TICKER, "a:X")
    assert entry is not None and entry.owner == 3
    stage.ticker("snapshot", "a:X", 1)
    view = stage.session.holdings.view(TICKER, "a:X")
    assert view is not None and stage.session.owners(view) == (1, 2, 3)
    (back,) = stage.unsubscribe(3, "a:X")
    assert back["method"] == "subscribe" and back["params"]["max_rate"] == 4
    (gone,) = stage.unsubscribe(2, "a:X")
    assert gone["method"] == "unsubscribe" and gone["params"]["symbol"] == ["a:X"]
    entry = find(TICKER, "a:X")
    assert (
        entry is not None
        and entry.owner == 1
        and stage.session.holdings.view(TICKER, "a:X") is view
    )
    stage.unsubscribe(1, "a:*")
    assert stage.session.holdings.view(TICKER, "a:X") is None
    stage.ticker("update", "a:X", 2, prev=1)
    assert stage.session.asking.next_at() is None, "what comes after the end is nobody's"


def test_bars_of_each_interval_stand_apart(stage: Stage) -> None:
    (request,) = stage.subscribe(1, "a:X", key=StreamKey("bars", "1s"))
    assert request["params"] == {"channel": "bars", "symbol": ["a:X"], "interval": "1s"}
    item = {"symbol": "a:X", "epoch": 1, "seq": 1, "state": "live", "bars": [], "ts_publish": 1}
    for interval in ("1s", "1m"):
        stage.say({"channel": "bars", "type": "snapshot", "data": [{**item, "interval": interval}]})
    assert stage.session.holdings.view(StreamKey("bars", "1s"), "a:X") is not None
    assert stage.session.holdings.view(StreamKey("bars", "1m"), "a:X") is None
    (request,) = stage.unsubscribe(1, "a:X", key=StreamKey("bars", "1s"))
    assert request["params"]["interval"] == "1s"


def test_a_bare_symbol_is_found_where_just_one_venue_has_it(stage: Stage) -> None:
    stage.subscribe(1, "X", "b:*")
    stage.ticker("snapshot", "a:X", 1)
    assert stage.session.holdings.view(TICKER, "X") is not None
    stage.ticker("snapshot", "b:X", 1)
    assert stage.session.holdings.view(TICKER, "X") is None


@pytest.mark.parametrize(
    "message",
    [
        {"channel": "ticker"},
        {"channel": "ticker", "type": "update", "data": [{}]},
        {"channel": "ticker", "type": "snapshot", "data": {"symbol": "a:X"}},
        {
            "channel": "ticker",
            "type": "snapshot",
            "data": [{"symbol": "a:X", "epoch": "1", "seq": 1}],
        },
        {"channel": "status", "type": "snapshot", "data": [{"symbol": "a:X"}]},
        {"method": "subscribe", "success": True},
    ],
)
def test_what_cannot_be_read_is_a_fault_and_no_crash(stage: Stage, message: dict[str, Any]) -> None:
    stage.subscribe(1, "a:*")
    with pytest.raises(ProtocolFault):
        stage.say(message)
