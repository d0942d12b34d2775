"""The client's rule, line by line, and against a publisher whose messages get lost and doubled."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickcast.rule import Rule, Verdict

APPLIED, IGNORED, AGAIN = Verdict.APPLIED, Verdict.IGNORED, Verdict.ASK_AGAIN


def check(lines: str) -> None:
    """Plays lines such as `S1.5 applied 1.5`: a snapshot of epoch 1 at seq 5; `U1.5-7` is an update
    from 5 to 7, with `!` one of another view, `R` a new connection, `F` forget."""
    rule = Rule()
    for line in filter(None, map(str.strip, lines.splitlines())):
        what, *expected = line.split()
        if what == "R":
            rule.reconnected()
            continue
        if what == "F":
            rule.forget()
            continue
        epoch, _, place = what[1:].rstrip("!").partition(".")
        if what[0] == "S":
            verdict = rule.snapshot(int(epoch), int(place))
        else:
            prev, _, seq = place.partition("-")
            verdict = rule.update(int(epoch), int(prev), int(seq), not what.endswith("!"))
        held = f"{rule.epoch}.{rule.seq}" if rule.holds else "-"
        assert [
            {"applied": APPLIED, "ignored": IGNORED, "again": AGAIN}[expected[0]],
            expected[1],
        ] == [
            verdict,
            held,
        ], line


def test_the_usual_course_is_a_snapshot_and_updates_that_may_overlap() -> None:
    check("""
        S1.5    applied 1.5
        U1.5-7  applied 1.7
        U1.3-6  ignored 1.7
        U1.7-7  ignored 1.7
        U1.6-7  ignored 1.7
        U1.4-9  applied 1.9
        S1.9    applied 1.9
        S1.4    applied 1.4
    """)


def test_a_gap_an_unknown_epoch_another_depth_or_no_snapshot_mean_asking_again() -> None:
    check("""
        U1.0-1  again   -
        S1.5    applied 1.5
        U1.6-7  again   1.5
        U1.5-7! again   1.5
        U2.1-2  again   1.5
        U2.9-10 again   1.5
        S2.1    applied 2.1
        F
        U2.1-2  again   -
        U2.0-2  again   -
        S2.0    applied 2.0
        U2.0-1  applied 2.1
    """)


def test_an_older_epoch_is_ignored_within_one_connection_only() -> None:
    check("""
        S2.5    applied 2.5
        S1.9    ignored 2.5
        U1.4-9  ignored 2.5
        U3.1-2  again   2.5
        S2.6    ignored 2.5
        S3.2    applied 3.2
        R
        U3.2-4  applied 3.4
        R
        U2.1-2  again   3.4
        S1.1    ignored 3.4
        R
        S1.1    applied 1.1
        U1.1-2  applied 1.2
    """)


@dataclass
class Publisher:
    """A stream of absolute values, each stamped with the seq at which it changed."""

    epoch: int = 1
    seq: int = 1
    values: dict[int, tuple[int, int]] = field(default_factory=dict)

    def change(self, place: int, value: int) -> None:
        self.seq += 1
        self.values[place] = (value, self.seq)

    def snapshot(self) -> dict[int, int]:
        return {place: value for place, (value, _) in self.values.items()}

    def since(self, prev: int) -> dict[int, int]:
        return {place: value for place, (value, at) in self.values.items() if at > prev}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.integers(0, 3), st.integers(0, 99)),
        st.tuples(st.just("update"), st.integers(0, 9), st.integers(1, 2)),
        st.tuples(st.just("snapshot"), st.just(0), st.integers(1, 2)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_whoever_keeps_the_rule_holds_the_state_of_some_moment(
    steps: list[tuple[str, int, int]],
) -> None:
    """Updates may be lost, doubled or overlap, snapshots come at any time: what is held is always
    exactly the publisher's state at the seq that is held, and asking again brings it up to date."""
    publisher, rule = Publisher(), Rule()
    held: dict[int, int] = {}
    history = {(1, 1): dict[int, int]()}
    for kind, place, number in steps:
        if kind == "change":
            publisher.change(place, number)
            history[publisher.epoch, publisher.seq] = publisher.snapshot()
        elif kind == "restart":
            publisher = Publisher(publisher.epoch + 1)
            history[publisher.epoch, publisher.seq] = {}
        for _ in range(number if kind in ("update", "snapshot") else 0):
            if kind == "snapshot":
                if rule.snapshot(publisher.epoch, publisher.seq) is APPLIED:
                    held = publisher.snapshot()
            else:
                prev = max(0, publisher.seq - place)
                if rule.update(publisher.epoch, prev, publisher.seq) is APPLIED:
                    held.update(publisher.since(prev))
        if rule.holds:
            assert held == history[rule.epoch, rule.seq]
    if rule.snapshot(publisher.epoch, publisher.seq) is APPLIED:
        held = publisher.snapshot()
    assert held == publisher.snapshot()


@pytest.mark.parametrize("prev", range(6))
def test_an_update_is_applied_exactly_where_nothing_is_missing(prev: int) -> None:
    rule = Rule()
    rule.snapshot(1, 3)
    assert rule.update(1, prev, 6) is (APPLIED if prev <= 3 else AGAIN)
