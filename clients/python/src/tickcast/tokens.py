"""Tokens: where they come from, and when the next one is due."""

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

TokenSource: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A token, or what gives one each time that one is needed."""

REFRESH_BEFORE_S = 30.0


class Tokens:
    """The tokens of one client."""

    def __init__(self, source: TokenSource | None) -> None:
        self._source = source

    @property
    def is_there(self) -> bool:
        """Whether there is anything to show."""
        return self._source is not None

    @property
    def is_renewable(self) -> bool:
        """Whether a second token may be another than the first."""
        return callable(self._source)

    async def fetch(self) -> str | None:
        """A token; whatever the callback raises goes through."""
        source = self._source
        if source is None or isinstance(source, str):
            return source
        given = source()
        token = await given if inspect.isawaitable(given) else given
        if not isinstance(token, str) or not token:
            raise ValueError(f"token: the callback gave {type(token).__name__}, not a text")
        return token


def refresh_in_s(expires: int, now_s: float) -> float:
    """How long to wait before a new token is shown: until 30 seconds before the old one's end, of
    short ones until two thirds have passed. A token that has just been accepted and has expired by
    our clock says that the clocks differ: then every so often."""
    left = expires - now_s
    if left <= 0:
        return REFRESH_BEFORE_S
    return max(left - REFRESH_BEFORE_S, left * 2 / 3)
