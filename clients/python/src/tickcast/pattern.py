"""What a client may write where a symbol is asked for: a name, or a glob over names."""

import re
from collections.abc import Iterable
from functools import lru_cache

from tickcast.words import SYMBOL_BYTES_MAX


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
    """Names and patterns that are looked up often: what is exact costs no search."""

    __slots__ = ("_exact", "_globs")

    def __init__(self, patterns: Iterable[str]) -> None:
        listed = list(patterns)
        self._exact = frozenset(pattern for pattern in listed if not is_glob(pattern))
        self._globs = tuple(pattern for pattern in listed if is_glob(pattern))

    def have_exactly(self, symbol: str) -> bool:
        """Whether one of the names means the instrument, by its full name or a bare symbol."""
        if symbol in self._exact:
            return True
        bare = symbol.partition(":")[2]
        return ":" not in bare and bare in self._exact

    def have(self, symbol: str) -> bool:
        """Whether one of the names or patterns means the instrument."""
        return self.have_exactly(symbol) or any(matches(glob, symbol) for glob in self._globs)


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
