"""What is subscribed to: which names and patterns are said together, with which options, and to
whom each belongs.

Several subscriptions of a user may name the same pattern; on the wire it belongs to the latest of
them, and goes back to the one before when that ends.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain

from tickcast.pattern import ByPattern, Names
from tickcast.words import REQUEST_BYTES_MAX, REQUEST_SYMBOLS_MAX, Json, StreamKey


@dataclass(slots=True, eq=False)
class Entry:
    """What a subscription says of its patterns: as much as goes into one request, which may hold
    other entries beside it."""

    owner: int
    key: StreamKey
    options: Json
    patterns: list[str]
    number: int
    """Grows with every entry: of two globs the later one's options count."""
    req_id: int = 0
    """The request that said it last."""
    resumes: bool = False
    """It stood on an earlier connection: what is held of it is claimed with `since`."""
    company: int = 0
    """Goes into one request only with those that have the same number."""
    waiting: set[str] = field(default_factory=set)
    """Names that the service has neither granted nor refused: its list is not complete yet."""
    names: Names = field(init=False)

    def __post_init__(self) -> None:
        self.names = Names(self.patterns)

    def leave_out(self, gone: set[str]) -> None:
        """Has these patterns no more."""
        self.patterns = [pattern for pattern in self.patterns if pattern not in gone]
        self.names = Names(self.patterns)


@dataclass(slots=True)
class Wish:
    """What a user's subscription asks for."""

    key: StreamKey
    options: Json
    patterns: tuple[str, ...]


class Plan:
    """All that is subscribed to. What is looked up by a name costs no search."""

    def __init__(self) -> None:
        self.entries: dict[Entry, None] = {}
        """In the order in which a service has to hear of them."""
        self.unsaid: set[Entry] = set()
        """Those that have to be said, for the first time or once more."""
        self._wishes: dict[int, Wish] = {}
        self._owners: defaultdict[StreamKey, ByPattern[dict[int, None]]] = defaultdict(ByPattern)
        self._saying: defaultdict[StreamKey, ByPattern[Entry]] = defaultdict(ByPattern)
        self._find_cache: dict[tuple[StreamKey, str], Entry | None] = {}
        self._number = 0

    def add(self, owner: int, wish: Wish) -> None:
        """Begins or changes a subscription."""
        # Whoever asks last is the last again, so that patterns go back in the right order.
        self._forget(owner)
        self._wishes[owner] = wish
        owners = self._owners[wish.key]
        for pattern in wish.patterns:
            owners[pattern] = {**owners.get(pattern, {}), owner: None}
        self._place(owner, wish, wish.patterns)

    def remove(self, owner: int) -> list[str]:
        """Ends a subscription: gives the patterns that nobody else has. The others go back to
        those who had them before."""
        wish = self._forget(owner)
        if wish is None:
            return []
        saying = self._saying[wish.key]
        owned = [p for p in wish.patterns if p in saying and saying[p].owner == owner]
        self._drop(wish.key, owned)
        heirs: dict[int, list[str]] = {}
        orphans = []
        for pattern in owned:
            owners = self.owners_of_pattern(wish.key, pattern)
            if owners:
                heirs.setdefault(owners[-1], []).append(pattern)
            else:
                orphans.append(pattern)
        for heir, patterns in heirs.items():
            self._place(heir, self._wishes[heir], patterns)
        return orphans

    def drop_entry(self, entry: Entry) -> None:
        """Forgets what was refused for good."""
        self._drop(entry.key, list(entry.patterns))

    def restore(self, owner: int) -> None:
        """Plans anew what was refused before."""
        wish = self._wishes[owner]
        saying = self._saying[wish.key]
        self._place(owner, wish, [pattern for pattern in wish.patterns if pattern not in saying])

    def begin_anew(self) -> None:
        """On another connection everything has to be said, also what was refused before."""
        for owner in self._wishes:
            self.restore(owner)
        self.unsaid = set(self.entries)
        for entry in self.entries:
            entry.resumes = True
            entry.company = 0

    def find(self, key: StreamKey, symbol: str) -> Entry | None:
        """The entry that an instrument belongs to: an exact name's wins over a glob's, a later
        glob's over an earlier's. What was found is kept until something changes."""
        at = (key, symbol)
        if at not in self._find_cache:
            self._find_cache[at] = self._search(key, symbol)
        return self._find_cache[at]

    def saying(self, key: StreamKey, pattern: str) -> Entry | None:
        """The entry that has just this name or pattern."""
        return self._saying[key].get(pattern)

    def owners(self, key: StreamKey, symbol: str) -> tuple[int, ...]:
        """Every subscription that asks for an instrument."""
        asking = self._owners[key]
        found = {
            owner
            for owners in chain(asking.exact(symbol), asking.globs(symbol))
            for owner in owners
        }
        return tuple(sorted(found))

    def owners_of_pattern(self, key: StreamKey, pattern: str) -> tuple[int, ...]:
        """Every subscription that has just this name or pattern, the latest last."""
        return tuple(self._owners[key].get(pattern, ()))

    def keys_of(self, symbol: str) -> list[StreamKey]:
        """The streams on which the instrument is subscribed to."""
        return [key for key in list(self._saying) if self.find(key, symbol) is not None]

    def _search(self, key: StreamKey, symbol: str) -> Entry | None:
        saying = self._saying[key]
        exact = next(saying.exact(symbol), None)
        return exact or max(saying.globs(symbol), key=lambda entry: entry.number, default=None)

    def _forget(self, owner: int) -> Wish | None:
        wish = self._wishes.pop(owner, None)
        if wish is not None:
            owners = self._owners[wish.key]
            for pattern in wish.patterns:
                owners[pattern].pop(owner)
                if not owners[pattern]:
                    owners.leave(pattern)
        return wish

    def _place(self, owner: int, wish: Wish, patterns: Iterable[str]) -> None:
        listed = list(patterns)
        self._drop(wish.key, listed)
        saying = self._saying[wish.key]
        for part in _parts(listed):
            self._number += 1
            entry = Entry(owner, wish.key, wish.options, part, self._number, waiting=set(part))
            self.entries[entry] = None
            self.unsaid.add(entry)
            for pattern in part:
                saying[pattern] = entry

    def _drop(self, key: StreamKey, patterns: list[str]) -> None:
        self._find_cache.clear()
        saying = self._saying[key]
        gone: dict[Entry, set[str]] = {}
        for pattern in patterns:
            entry = saying.leave(pattern)
            if entry is not None:
                gone.setdefault(entry, set()).add(pattern)
        for entry, theirs in gone.items():
            entry.leave_out(theirs)
            if not entry.patterns:
                del self.entries[entry]
                self.unsaid.discard(entry)


def _parts(patterns: list[str]) -> list[list[str]]:
    """As many as a request takes, in each."""
    parts: list[list[str]] = []
    size = 0
    for pattern in patterns:
        size += name_bytes(pattern)
        is_full = parts and len(parts[-1]) == REQUEST_SYMBOLS_MAX
        if not parts or is_full or size > REQUEST_BYTES_MAX // 2:
            parts.append([])
            size = name_bytes(pattern)
        parts[-1].append(pattern)
    return parts


def name_bytes(name: str) -> int:
    """What a name takes in a request, with quotes and a comma."""
    return len(name.encode()) + 3
