"""Waiting in tests: for a condition, never for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

PATIENCE_S = 60.0
T = TypeVar("T")


async def until(condition: Callable[[], object], what: str) -> None:
    """Waits for a condition, with a deadline."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {PATIENCE_S:g} s"
        await asyncio.sleep(0.01)


async def within(work: Awaitable[T]) -> T:
    """The outcome of something that must not take for ever."""
    return await asyncio.wait_for(work, PATIENCE_S)


def without_publish_time(raw: dict[str, Any]) -> dict[str, Any]:
    """An item without the moment at which it was encoded."""
    return {name: value for name, value in raw.items() if name != "ts_publish"}
