"""How the connection is, as the user sees it."""

import time
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tickcast.words import Json

ConnectionState: TypeAlias = Literal["connecting", "live", "reconnecting", "closed"]
"""`connecting` for the first time, `live`, `reconnecting` after a loss, `closed` for good."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a connection ended or could not be opened; `code` is one of the service's numbers."""

    code: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Goaway:
    """The service is about to close the connection; times in Unix seconds."""

    closes_at: float
    reason: str


@dataclass(slots=True)
class Connection:
    """The connection, always as it is now. To be read, not written."""

    state: ConnectionState = "connecting"
    since: float = 0.0
    """When that state began, in Unix seconds, as all times here."""
    transport: str = "websocket"
    encoding: str = "json"
    session: str | None = None
    """The service's name for this connection, as it stands in its log."""
    version: str | None = None
    """The service's."""
    attempt: int = 0
    """Tries since the last live connection."""
    next_attempt_at: float | None = None
    reason: Reason | None = None
    """Why the last connection ended, or could not be opened."""
    goaway: Goaway | None = None
    heartbeat_ms: int | None = None
    reconnects: int = 0
    """Connections that went live after the first."""
    resyncs: int = 0
    """Streams that were asked for again because something was missing."""
    checksum_failures: int = 0
    missed_trades: int = 0
    messages: int = 0
    bytes: int = 0
    last_message_at: float | None = None
    subject: str | None = None
    """On whose behalf, as the token says."""
    token_expires_at: int | None = None
    rtt_us: int | None = None
    """The way there and back, by the last `ping`."""
    clock_offset_us: int | None = None
    """The service's clock less ours, by the last `ping`."""

    @property
    def is_live(self) -> bool:
        """Whether data flow."""
        return self.state == "live"

    def turn(self, state: ConnectionState) -> None:
        """Goes into a state."""
        self.state = state
        self.since = time.time()


@dataclass(frozen=True, slots=True)
class Stats:
    """The service's view of this connection."""

    subscriptions: int
    instruments: int
    sent_messages: int
    sent_bytes: int
    merged_updates: int
    lagging: bool
    owed_topics: int
    rtt_us: int | None
    connected_us: int


def stats_of(result: Json) -> Stats:
    """Reads an answer; what is unknown is ignored."""
    return Stats(
        subscriptions=int(result["subscriptions"]),
        instruments=int(result["instruments"]),
        sent_messages=int(result["sent_messages"]),
        sent_bytes=int(result["sent_bytes"]),
        merged_updates=int(result["merged_updates"]),
        lagging=bool(result["lagging"]),
        owed_topics=int(result["owed_topics"]),
        rtt_us=result.get("rtt_us"),
        connected_us=int(result["connected_us"]),
    )
