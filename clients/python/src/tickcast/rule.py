"""The client's rule: what to do with a snapshot or an update, the same for every channel.

Knows neither channels nor values; whoever holds values asks it first.
"""

from enum import IntEnum


class Verdict(IntEnum):
    """What became of an item."""

    IGNORED = 0
    """Held already, or older than what is held."""
    APPLIED = 1
    """To be taken over."""
    ASK_AGAIN = 2
    """Something is missing: ask again for this symbol only."""


class Rule:
    """The place of one stream that is held, and the newest epoch this connection has seen of it.

    Epochs of different connections may come from different services and are never compared.
    """

    __slots__ = ("epoch", "seq", "holds", "_newest")

    def __init__(self) -> None:
        self.epoch = 0
        self.seq = 0
        self.holds = False
        self._newest = -1

    def reconnected(self) -> None:
        """Begins a new connection: what is held stays, and may be claimed with `since`."""
        self._newest = -1

    def forget(self) -> None:
        """Gives up what is held: only a snapshot helps."""
        self.holds = False
        self.epoch = self.seq = 0

    def snapshot(self, epoch: int, seq: int) -> Verdict:
        """Judges a snapshot: it replaces what is held whatever its seq, unless its epoch is older
        than one already received on this connection."""
        if epoch < self._newest:
            return Verdict.IGNORED
        self._newest = epoch
        self.epoch = epoch
        self.seq = seq
        self.holds = True
        return Verdict.APPLIED

    def update(self, epoch: int, prev: int, seq: int, same_view: bool = True) -> Verdict:
        """Judges an update; `same_view` says whether its depth or interval is the one held."""
        if epoch < self._newest:
            return Verdict.IGNORED
        self._newest = epoch
        if not self.holds or epoch != self.epoch:
            return Verdict.ASK_AGAIN
        if seq <= self.seq:
            return Verdict.IGNORED
        if not same_view or prev > self.seq:
            return Verdict.ASK_AGAIN
        self.seq = seq
        return Verdict.APPLIED
