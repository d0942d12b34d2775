"""The options of a subscription, checked before anything is sent."""

from collections.abc import Sequence

from tickcast.words import CHANNELS, DEPTHS, INTERVALS, TICKER_FIELDS, Channel, Json, StreamKey

CHANGEABLE: dict[Channel, tuple[str, ...]] = {
    "ticker": ("max_rate", "fields"),
    "trades": ("max_rate", "snapshot"),
    "book": ("max_rate", "depth"),
    "bars": ("max_rate",),
}
"""What each channel takes beside the symbols; the interval of bars is part of what it is."""


def wire_options(channel: Channel, options: Json) -> Json:
    """The options as a request carries them, without those that are None.

    Raises ValueError that names the option and the value.
    """
    for name in options:
        if name not in CHANGEABLE[channel]:
            allowed = ", ".join(CHANGEABLE[channel])
            raise ValueError(f"{name}: {channel} has no such option to set; it has {allowed}")
    given = {name: value for name, value in options.items() if value is not None}
    rate = given.get("max_rate")
    is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if rate is not None and not (is_number and 0 < rate < 1e9):
        raise ValueError(f"max_rate: {rate!r} is no number of updates a second above 0")
    if "fields" in given:
        given["fields"] = _fields(given["fields"])
    if "depth" in given and given["depth"] not in DEPTHS:
        raise ValueError(f"depth: {given['depth']!r} is not one of {_listed(DEPTHS)}")
    if "snapshot" in given and not isinstance(given["snapshot"], bool):
        raise ValueError(f"snapshot: {given['snapshot']!r} is neither True nor False")
    return given


def checked_key(channel: str, interval: str | None) -> StreamKey:
    """The stream of a channel and, for bars, an interval. Raises ValueError."""
    if channel not in CHANNELS:
        raise ValueError(f"channel: {channel!r} is not one of {_listed(CHANNELS)}")
    if channel != "bars":
        return StreamKey(channel)
    if (interval or "1m") not in INTERVALS:
        raise ValueError(f"interval: {interval!r} is not one of {_listed(INTERVALS)}")
    return StreamKey("bars", interval or "1m")


def _fields(fields: object) -> list[str]:
    if isinstance(fields, str) or not isinstance(fields, Sequence):
        raise ValueError(f"fields: {fields!r} is no list of fields")
    for name in fields:
        if name not in TICKER_FIELDS:
            raise ValueError(f"fields: {name!r} is not one of {_listed(TICKER_FIELDS)}")
    if not fields:
        raise ValueError("fields: the list is empty")
    # In the protocol's order, so that equal sets are equal requests.
    return [name for name in TICKER_FIELDS if name in fields]


def _listed(words: Sequence[object]) -> str:
    return ", ".join(str(word) for word in words)
