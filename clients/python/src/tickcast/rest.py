"""What can be asked over plain HTTP: which instruments there are, and snapshots."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from tickcast import http1
from tickcast.errors import LinkClosed, NotLiveError, RequestError
from tickcast.holdings import VIEWS
from tickcast.link import LinkOptions
from tickcast.words import Json, StreamKey, TradingState

ANSWER_WITHIN_S = 30.0
SNAPSHOT_SYMBOLS_MAX = 100
"""How many are asked for at a time; a service takes 500, and heads of 8 KiB."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """A tradable thing."""

    symbol: str
    venue: str
    venue_symbol: str
    tick_size: Decimal | None
    lot_size: Decimal | None
    state: TradingState


async def instruments(options: LinkOptions, token: str | None, glob: str) -> list[Instrument]:
    """The instruments that match. Raises RequestError, NotLiveError."""
    body = await _get(options, token, "/v1/instruments?" + urlencode({"symbol": glob}, safe=":*"))
    return [
        Instrument(
            symbol=one["symbol"],
            venue=one["venue"],
            venue_symbol=one["venue_symbol"],
            tick_size=_decimal(one.get("tick_size")),
            lot_size=_decimal(one.get("lot_size")),
            state=one["state"],
        )
        for one in body["instruments"]
    ]


async def snapshot(
    options: LinkOptions,
    token: str | None,
    key: StreamKey,
    symbols: Sequence[str],
    params: Json,
    received_at: int,
) -> list[Any]:
    """A value for each symbol, as a subscriber would get it."""
    values = []
    for at in range(0, len(symbols), SNAPSHOT_SYMBOLS_MAX):
        part = ",".join(symbols[at : at + SNAPSHOT_SYMBOLS_MAX])
        query = {"channel": key.channel, "symbol": part, **params}
        message = await _get(options, token, "/v1/snapshot?" + urlencode(query, safe=":,*"))
        for item in message["data"]:
            view = VIEWS[key.channel](item["symbol"], key)
            view.take(item, True, received_at)
            values.append(view.value(view.told_state))
    return values


async def _get(options: LinkOptions, token: str | None, target: str) -> Json:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            response = await http1.get(options, target, headers)
            try:
                if response.status != 200:
                    refused = await response.refusal()
                    raise RequestError(refused.code or 4500, refused.reason)
                body = json.loads(await response.body())
            finally:
                response.close()
    except TimeoutError as fault:
        raise NotLiveError(f"no answer within {ANSWER_WITHIN_S:g} s") from fault
    except LinkClosed as fault:
        raise NotLiveError(f"{target.partition('?')[0]}: {fault.reason}") from fault
    except ValueError as fault:
        raise RequestError(4500, f"the answer is no JSON: {fault}") from fault
    if not isinstance(body, dict):
        raise RequestError(4500, "the answer is no object")
    return body


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
