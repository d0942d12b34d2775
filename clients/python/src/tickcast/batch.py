"""Entries gathered into as few requests as possible, each no longer than a service reads."""

import json
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tickcast.pattern import is_glob
from tickcast.plan import Entry, name_bytes
from tickcast.words import REQUEST_SYMBOLS_MAX, Json

SINCE_BYTES = 64
"""What a claim takes beside the symbol: names, punctuation, two integers."""

FRAME_BYTES = 400
"""What a request takes beside names and claims, generously."""


class Claim(NamedTuple):
    """Where the client says that it stands with an instrument: an item of `since`."""

    symbol: str
    epoch: int
    seq: int

    @property
    def bytes(self) -> int:
        """What it takes in a request."""
        return name_bytes(self.symbol) + SINCE_BYTES


class Batch:
    """Entries with equal options, and what is claimed of them: one request."""

    def __init__(self, bytes_max: int) -> None:
        self.entries: list[Entry] = []
        self.since: dict[str, Json] = {}
        self._bytes_max = bytes_max
        self._bytes = FRAME_BYTES
        self._symbols = 0

    def add(self, entry: Entry, claims: list[Claim]) -> bool:
        """Takes an entry with what it claims; False: it needs a request of its own."""
        names = sum(name_bytes(pattern) for pattern in entry.patterns)
        # A name goes where its claim goes. Of a glob as many are claimed as fit: what is left out
        # comes as a snapshot, since a second request would come too late.
        exact = [claim for claim in claims if entry.names.have(claim.symbol)]
        needed = names + sum(claim.bytes for claim in exact)
        has_room = (
            self._symbols + len(entry.patterns) <= REQUEST_SYMBOLS_MAX
            and self._bytes + needed <= self._bytes_max
        )
        if self.entries and not has_room:
            return False
        self.entries.append(entry)
        self._symbols += len(entry.patterns)
        self._bytes += names
        for claim in [*exact, *(claim for claim in claims if claim not in set(exact))]:
            self._claim(claim)
        return True

    def _claim(self, claim: Claim) -> None:
        """Takes a claim where it fits; one always does."""
        if not self.since or self._bytes + claim.bytes <= self._bytes_max:
            self._bytes += claim.bytes
            self.since[claim.symbol] = {"epoch": claim.epoch, "seq": claim.seq}

    def params(self) -> Json:
        """What to send."""
        first = self.entries[0]
        symbols = [pattern for entry in self.entries for pattern in entry.patterns]
        params: Json = {"channel": first.key.channel, "symbol": symbols, **first.options}
        if first.key.interval:
            params["interval"] = first.key.interval
        if self.since:
            params["since"] = self.since
        return params


def gather(
    entries: Iterable[Entry], claims_of: Callable[[Entry], list[Claim]], bytes_max: int
) -> list[Batch]:
    """Batches of entries with equal options. Names go wherever there is room; globs only beside
    their neighbours, since of two globs the one that is said later wins."""
    batches: list[Batch] = []
    open_batches: dict[object, Batch] = {}
    last_globs: Batch | None = None
    for entry in entries:
        alike = (entry.key, json.dumps(entry.options, sort_keys=True), entry.company)
        has_globs = any(is_glob(pattern) for pattern in entry.patterns)
        batch = open_batches.get(alike)
        if has_globs and last_globs is not None and batch is not last_globs:
            batch = None
        claims = claims_of(entry)
        if batch is None or not batch.add(entry, claims):
            batch = open_batches[alike] = Batch(bytes_max)
            batch.add(entry, claims)
            batches.append(batch)
        if has_globs:
            last_globs = batch
    return batches
