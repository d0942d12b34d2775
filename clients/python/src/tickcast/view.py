"""What is held of one stream, by the client's rule; the channels' own views build on it.

A view is changed in place by messages. What users get are values made of it when they look:
each is a picture of one moment and never changes afterwards.
"""

from typing import ClassVar, Generic, NamedTuple, TypeVar

from tickcast.rule import Rule, Verdict
from tickcast.words import Channel, Json, StreamKey, TradingState

V = TypeVar("V")


NOWHERE = (0, 0)


class Violation(Exception):
    """A promise of the protocol was broken; what was held is given up and asked for again."""


class ChecksumFailure(Violation):
    """The book is not the one that the service has."""


class Mark(NamedTuple):
    """How far a consumer has come in a stream, and how much of it that consumer has missed."""

    epoch: int
    seq: int
    missed: int = 0


class View(Generic[V]):
    """The state of one stream: an instrument on a channel."""

    __slots__ = (
        "symbol", "key", "rule", "confirmed", "gap", "behind", "asking", "strikes", "asked_at",
        "owners", "ts_publish", "received_at", "told_state", "_value", "_value_state",
    )  # fmt: skip
    channel: ClassVar[Channel]

    def __init__(self, symbol: str, key: StreamKey) -> None:
        self.symbol = symbol
        self.key = key
        self.rule = Rule()
        self.confirmed = False
        """Whether this connection has said that what is held is up to date."""
        self.gap = False
        """Whether something is missing and has been, or will be, asked for again."""
        self.behind: tuple[int, int] = NOWHERE
        """The furthest place that is known to exist beyond the gap: epoch and seq."""
        self.asking: int | None = None
        """The request that asks again and has not been answered."""
        self.strikes = 0
        self.asked_at = float("-inf")
        self.owners: tuple[int, ...] | None = None
        """The subscriptions that this belongs to; None when that has to be looked up."""
        self.ts_publish = 0
        self.received_at = 0
        self.told_state: TradingState = "resync"
        self._value: V | None = None
        self._value_state: TradingState = "resync"

    def take(self, item: Json, is_snapshot: bool, received_at: int) -> Verdict:
        """Judges an item by the rule and applies it where that says so.

        Raises Violation, KeyError, TypeError or ValueError for what no good service sends; what
        was held is then given up.
        """
        rule = self.rule
        before = rule.seq if rule.holds and rule.epoch == item["epoch"] else None
        try:
            if is_snapshot:
                verdict = rule.snapshot(item["epoch"], item["seq"])
            else:
                same_view = self.shows(item)
                verdict = rule.update(item["epoch"], item["prev"], item["seq"], same_view)
            if verdict is Verdict.APPLIED:
                if is_snapshot:
                    self.told_state = item["state"]
                self.apply(item, is_snapshot, before)
                self.ts_publish = item["ts_publish"]
                self.received_at = received_at
                self._value = None
        except Exception:
            rule.forget()
            self._value = None
            raise
        return verdict

    def shows(self, item: Json) -> bool:
        """Whether an update is of the depth or interval that is held."""
        return True

    def apply(self, item: Json, is_snapshot: bool, before: int | None) -> None:
        """Takes an item over; `before` is the seq that was held within the same epoch."""
        raise NotImplementedError

    def claims(self, options: Json) -> bool:
        """Whether what is held is exactly what a subscription with these options asks for."""
        return True

    def restrict(self, granted: Json) -> None:
        """Lets go what the service will not send any more."""

    def value(self, state: TradingState) -> V:
        """What is held, as a value of its own; the same one until something changes."""
        if self._value is None or self._value_state != state:
            self._value = self.make(state)
            self._value_state = state
        return self._value

    def value_since(self, state: TradingState, mark: Mark | None) -> V:
        """The same for a consumer that has seen the stream up to `mark`."""
        return self.value(state)

    def mark(self, value: V) -> Mark | None:
        """Where a consumer stands that was given `value`; None where nothing depends on it."""
        return None

    def make(self, state: TradingState) -> V:
        """A new value of what is held."""
        raise NotImplementedError

    def raw(self, state: TradingState) -> Json:
        """What is held as an item of `/v1/snapshot`: every number the text that was sent."""
        raise NotImplementedError
