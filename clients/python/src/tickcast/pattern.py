"""What a client may write where a symbol is asked for: a name, or a glob over names."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TypeVar

from tickcast.words import SYMBOL_BYTES_MAX

T = TypeVar("T")


def is_glob(pattern: str) -> bool:
    """Whether it stands for any number of names."""
    return "*" in pattern


def matches(pattern: str, symbol: str) -> bool:
    """Whether a pattern means the instrument of that full name; a bare symbol (`BTC-USD`) means it
    on any venue."""
    if pattern == symbol:
        return True
    if is_glob(pattern):
        return _compiled(pattern).fullmatch(symbol) is not None
    return ":" not in pattern and symbol.partition(":")[2] == pattern


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Each part is looked for once, as early as possible: atomic groups keep it linear.
    head, *parts = pattern.split("*")
    tail = parts.pop()
    middle = "".join(f"(?>.*?{re.escape(part)})" for part in parts if part)
    return re.compile(f"{re.escape(head)}{middle}.*{re.escape(tail)}", re.DOTALL)


class Names:
    """Exact names among patterns, which may mean an instrument by a bare symbol."""

    __slots__ = ("_exact",)

    def __init__(self, patterns: Iterable[str]) -> None:
        self._exact = frozenset(pattern for pattern in patterns if not is_glob(pattern))

    def have(self, symbol: str) -> bool:
        """Whether one of the names means the instrument, by its full name or a bare symbol."""
        return symbol in self._exact or _bare(symbol) in self._exact


class ByPattern(dict[str, T]):
    """Something for each of many names and patterns; an exact name is found without a search."""

    def __init__(self) -> None:
        super().__init__()
        self._globs: dict[str, None] = {}

    def __setitem__(self, pattern: str, value: T) -> None:
        super().__setitem__(pattern, value)
        if is_glob(pattern):
            self._globs[pattern] = None

    def leave(self, pattern: str) -> T | None:
        """Takes one out."""
        self._globs.pop(pattern, None)
        return self.pop(pattern, None)

    def exact(self, symbol: str) -> Iterator[T]:
        """What the names that mean an instrument have, the full one first."""
        for name in dict.fromkeys((symbol, _bare(symbol))):
            if name in self and not is_glob(name):
                yield self[name]

    def globs(self, symbol: str) -> Iterator[T]:
        """What the globs that mean an instrument have."""
        return (self[glob] for glob in self._globs if matches(glob, symbol))


def _bare(symbol: str) -> str:
    """The symbol without its venue, unless that is no name."""
    bare = symbol.partition(":")[2]
    return symbol if ":" in bare else bare


def checked(symbols: str | Iterable[str]) -> tuple[str, ...]:
    """Names and patterns in order, each once.

    Raises ValueError where there is none, or one that no service reads.
    """
    listed = (symbols,) if isinstance(symbols, str) else tuple(symbols)
    for symbol in listed:
        if not isinstance(symbol, str):
            raise ValueError(f"symbols: {symbol!r} is no text")
        if not 1 <= len(symbol.encode()) <= SYMBOL_BYTES_MAX:
            raise ValueError(f"symbols: {symbol!r} has not 1 to {SYMBOL_BYTES_MAX} bytes")
    if not listed:
        raise ValueError("symbols: the list is empty")
    return tuple(dict.fromkeys(listed))
