"""How long to wait before the next try. No clock: whoever waits asks how long."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with jitter: the wait before try n lies between half of
    `base_s` × 2ⁿ and all of it, and is never more than `max_s`."""

    base_s: float = 0.5
    max_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.base_s <= self.max_s:
            raise ValueError(
                f"backoff: base_s {self.base_s} is not above 0 and at most max_s {self.max_s}"
            )

    def wait_s(self, attempt: int, jitter: float | None = None) -> float:
        """The wait before try `attempt` (from 0); `jitter` from 0 to 1 replaces chance."""
        chance = random.random() if jitter is None else jitter
        # 2**64 is beyond any maximum; a larger power would overflow.
        whole = min(self.max_s, self.base_s * 2.0 ** min(attempt, 64))
        return whole * (0.5 + chance / 2)


class Pace:
    """A bucket of requests: as many at once as it holds, then so many a second."""

    __slots__ = ("_burst", "_per_s", "_level", "_at")

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._level = float(burst)
        self._at: float | None = None

    def wait_s(self, now: float) -> float:
        """Takes one out; how long to wait before it may be used."""
        if self._at is not None:
            self._level = min(self._burst, self._level + (now - self._at) * self._per_s)
        self._at = now
        self._level -= 1
        return max(0.0, -self._level / self._per_s)
