"""What is subscribed to on the wire: which request covers which patterns, in the order in which a
service weighs them, and to whom each belongs.

Several subscriptions of a user may name the same pattern; on the wire it belongs to the latest of
them, and goes back to the one before when that ends.
"""

from dataclasses import dataclass, field

from tickcast.pattern import Names
from tickcast.words import REQUEST_BYTES_MAX, REQUEST_SYMBOLS_MAX, Json, StreamKey

SINCE_BYTES = 64
"""What an entry of `since` takes beside the symbol: names, punctuation, two integers."""


@dataclass(slots=True, eq=False)
class Entry:
    """A subscribe request that stands, without `since`."""

    owner: int
    key: StreamKey
    options: Json
    patterns: list[str]
    req_id: int = 0
    """The request that said it last."""
    waiting: set[str] = field(default_factory=set)
    """Names that the service has neither granted nor refused: its list is not complete yet."""
    names: Names = field(init=False)

    def __post_init__(self) -> None:
        self.names = Names(self.patterns)

    def leave_out(self, gone: set[str]) -> None:
        """Has these patterns no more."""
        kept = [pattern for pattern in self.patterns if pattern not in gone]
        if len(kept) < len(self.patterns):
            self.patterns = kept
            self.names = Names(kept)

    def params(self, since: "dict[str, Json] | None" = None) -> Json:
        """What to send."""
        params = {"channel": self.key.channel, "symbol": list(self.patterns), **self.options}
        if self.key.interval:
            params["interval"] = self.key.interval
        if since:
            params["since"] = since
        return params

    def has_room(self, since: "dict[str, Json]", symbol: str) -> bool:
        """Whether one more symbol may be claimed; one always may."""
        claimed = sum(len(name) + SINCE_BYTES for name in since)
        size = _size(self.patterns) + claimed + len(symbol) + SINCE_BYTES
        return not since or size <= REQUEST_BYTES_MAX


@dataclass(slots=True)
class Wish:
    """What a user's subscription asks for."""

    key: StreamKey
    options: Json
    patterns: tuple[str, ...]
    names: Names = field(init=False)

    def __post_init__(self) -> None:
        self.names = Names(self.patterns)


class Plan:
    """All requests that stand."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._wishes: dict[int, Wish] = {}
        self._find_cache: dict[tuple[StreamKey, str], Entry | None] = {}

    def add(self, owner: int, wish: Wish) -> list[Entry]:
        """Begins or changes a subscription: what is to be sent."""
        # Whoever asks last is the last again, so that patterns go back in the right order.
        self._wishes.pop(owner, None)
        self._wishes[owner] = wish
        return self._place(owner, wish, wish.patterns)

    def remove(self, owner: int) -> tuple[list[str], list[Entry]]:
        """Ends a subscription: the patterns that nobody else has, and the requests that give
        others back to those who had them before."""
        wish = self._wishes.pop(owner)
        owned = [p for e in self.entries if e.owner == owner for p in e.patterns]
        self._drop(wish.key, owned)
        heirs: dict[int, list[str]] = {}
        orphans = []
        for pattern in owned:
            heir = self._latest(wish.key, pattern)
            if heir is None:
                orphans.append(pattern)
            else:
                heirs.setdefault(heir, []).append(pattern)
        entries = []
        for heir, patterns in heirs.items():
            entries += self._place(heir, self._wishes[heir], tuple(patterns))
        return orphans, entries

    def drop_entry(self, entry: Entry) -> None:
        """Forgets a request that was refused for good."""
        if entry in self.entries:
            self.entries.remove(entry)
        self._find_cache.clear()

    def restore(self, owner: int) -> None:
        """Plans anew what was refused before, for a new connection."""
        wish = self._wishes[owner]
        placed = {p for e in self.entries if e.key == wish.key for p in e.patterns}
        missing = tuple(pattern for pattern in wish.patterns if pattern not in placed)
        if missing:
            self._place(owner, wish, missing)

    def every_owner(self) -> list[int]:
        """All subscriptions, in the order in which they were made or changed."""
        return list(self._wishes)

    def find(self, key: StreamKey, symbol: str) -> Entry | None:
        """The request that an instrument belongs to: an exact name's wins over a glob's, a later
        glob's over an earlier's. What was found is kept until something changes."""
        at = (key, symbol)
        if at not in self._find_cache:
            self._find_cache[at] = self._search(key, symbol)
        return self._find_cache[at]

    def owners(self, key: StreamKey, symbol: str) -> tuple[int, ...]:
        """Every subscription that asks for an instrument."""
        return tuple(
            owner
            for owner, wish in self._wishes.items()
            if wish.key == key and wish.names.have(symbol)
        )

    def owners_of_pattern(self, key: StreamKey, pattern: str) -> tuple[int, ...]:
        """Every subscription that has just this name or pattern."""
        return tuple(
            owner
            for owner, wish in self._wishes.items()
            if wish.key == key and pattern in wish.patterns
        )

    def covers(self, symbol: str) -> StreamKey | None:
        """Some stream on which the instrument is subscribed to."""
        for entry in self.entries:
            if entry.names.have(symbol):
                return entry.key
        return None

    def _search(self, key: StreamKey, symbol: str) -> Entry | None:
        best = None
        for entry in self.entries:
            if entry.key != key:
                continue
            if entry.names.have_exactly(symbol):
                return entry
            if entry.names.have(symbol):
                best = entry
        return best

    def _latest(self, key: StreamKey, pattern: str) -> int | None:
        owners = self.owners_of_pattern(key, pattern)
        return owners[-1] if owners else None

    def _place(self, owner: int, wish: Wish, patterns: tuple[str, ...]) -> list[Entry]:
        self._drop(wish.key, patterns)
        placed = [
            Entry(owner, wish.key, wish.options, part, waiting=set(part))
            for part in _parts(patterns)
        ]
        self.entries += placed
        return placed

    def _drop(self, key: StreamKey, patterns: "tuple[str, ...] | list[str]") -> None:
        self._find_cache.clear()
        gone = set(patterns)
        for entry in self.entries:
            if entry.key == key:
                entry.leave_out(gone)
        self.entries = [entry for entry in self.entries if entry.patterns]


def _size(patterns: "list[str] | tuple[str, ...]") -> int:
    return sum(len(pattern.encode()) + 3 for pattern in patterns)


def _parts(patterns: tuple[str, ...]) -> list[list[str]]:
    """As many as a request takes, in each."""
    parts: list[list[str]] = [[]]
    size = 0
    for pattern in patterns:
        size += len(pattern.encode()) + 3
        if len(parts[-1]) == REQUEST_SYMBOLS_MAX or size > REQUEST_BYTES_MAX // 2:
            parts.append([])
            size = 0
        parts[-1].append(pattern)
    return parts
