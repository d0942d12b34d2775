"""What can go wrong, by what to do next."""

from collections.abc import Mapping
from dataclasses import dataclass

NOT_AUTHENTICATED = 4401
NOT_ENTITLED = 4403


class TickcastError(Exception):
    """Any trouble of this package."""


class RequestError(TickcastError):
    """The service refused a request; `code` is one of its numbers, 44xx or 45xx."""

    def __init__(self, code: int, error: str) -> None:
        super().__init__(f"{code}: {error}")
        self.code = code
        self.error = error


class NotLiveError(TickcastError):
    """There is no live connection to ask on, or it was lost before the answer."""


class ClosedError(TickcastError):
    """The connection was closed for good: by the service with a 44xx, or by you."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(f"{code}: {reason}" if code is not None else reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a name or pattern is not served."""

    code: int
    error: str


class SubscriptionError(TickcastError):
    """Nothing of a subscription is served; `failed` says why, by name or pattern."""

    def __init__(self, failed: Mapping[str, Failure]) -> None:
        self.failed = dict(failed)
        shown = [f"{name}: {one.error} ({one.code})" for name, one in list(failed.items())[:5]]
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        super().__init__("; ".join(shown) + more)


class ProtocolFault(TickcastError):
    """A message that cannot be read; the connection is given up and opened again."""


class LinkClosed(TickcastError):
    """A connection ended, or could not be opened.

    `code` is a close code, or 4000 plus the status of an HTTP answer.
    """

    def __init__(
        self,
        code: int | None,
        reason: str,
        *,
        retry_after_s: float | None = None,
        blocked: bool = False,
    ) -> None:
        super().__init__(f"{code}: {reason}" if code is not None else reason)
        self.code = code
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.blocked = blocked
        """Whether something on the way seems not to let WebSockets through."""

    @property
    def is_final(self) -> bool:
        """Whether coming back unchanged is of no use."""
        return self.code is not None and 4400 <= self.code < 4500
