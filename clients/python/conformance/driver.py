"""Drives the SDK for the conformance script: subscribes to what the environment says, and prints
what it holds for each line `state` on its standard input.

Environment: TICKCAST_URL, TICKCAST_ENCODING (json, protobuf, sse), TICKCAST_TOKEN_URL (optional),
TICKCAST_SUBSCRIPTIONS. `stop`, or the end of the input, closes the connection and exits with 0;
what the SDK gets wrong goes to stderr and exits with 1; an encoding that it lacks exits with 3.
"""

import asyncio
import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import tickcast
from tickcast import Backoff, Subscription, Tickcast

EXIT_UNSUPPORTED = 3
OPTIONS: dict[str, dict[str, Any]] = {
    "json": {"transport": "websocket", "encoding": "json"},
    "protobuf": {"transport": "websocket", "encoding": "protobuf"},
    "sse": {"transport": "sse"},
}
# The service is on this machine, whatever proxy the environment names.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def token_from(url: str) -> str:
    """A new token."""
    with DIRECT.open(url, timeout=10) as answer:
        return str(answer.read().decode().strip())


def subscribe(tick: Tickcast, params: dict[str, Any]) -> Subscription[Any]:
    """The subscription of the `params` of a request."""
    options = dict(params)
    begin = getattr(tick, options.pop("channel"))
    subscription: Subscription[Any] = begin(options.pop("symbol"), **options)
    return subscription


def item(value: Any) -> dict[str, Any]:
    """As `/v1/snapshot` shows it, without the symbol that it stands under and `ts_publish`."""
    return {name: part for name, part in value.raw.items() if name not in ("symbol", "ts_publish")}


def state(tick: Tickcast, subscriptions: list[Subscription[Any]]) -> dict[str, Any]:
    """What is held."""
    held: dict[str, Any] = {"ticker": {}, "book": {}, "trades": {}, "bars": {}}
    for subscription in subscriptions:
        for value in subscription.values():
            if subscription.channel == "bars":
                held["bars"].setdefault(value.symbol, {})[value.interval] = item(value)
            else:
                held[subscription.channel][value.symbol] = item(value)
    connection = tick.connection
    return {
        "connection": {
            "state": connection.state,
            "transport": connection.transport,
            "encoding": connection.encoding,
            "reconnects": connection.reconnects,
            "resyncs": connection.resyncs,
            "checksum_failures": connection.checksum_failures,
            "missed_trades": connection.missed_trades,
        },
        "status": tick.statuses(),
        **held,
    }


async def lines() -> asyncio.StreamReader:
    """The standard input."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    return reader


async def main() -> int:
    """Until `stop`."""
    encoding = os.environ.get("TICKCAST_ENCODING", "json")
    if encoding not in OPTIONS:
        print(f"unsupported {encoding}", flush=True)
        return EXIT_UNSUPPORTED
    faults: list[str] = []

    def fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        faults.append(f"{context.get('message')}: {context.get('exception')!r}")
        print(faults[-1], file=sys.stderr, flush=True)

    asyncio.get_running_loop().set_exception_handler(fault)
    token_url = os.environ.get("TICKCAST_TOKEN_URL")
    client = tickcast.connect(
        os.environ["TICKCAST_URL"],
        token=(lambda: asyncio.to_thread(token_from, token_url)) if token_url else None,
        verify_checksums=True,
        backoff=Backoff(base_s=0.05, max_s=0.5),
        **OPTIONS[encoding],
    )
    async with client as tick:
        wanted = json.loads(os.environ.get("TICKCAST_SUBSCRIPTIONS", "[]"))
        subscriptions = [subscribe(tick, params) for params in wanted]
        print("ready", flush=True)
        commands = await lines()
        while line := await commands.readline():
            if line.strip() == b"stop":
                break
            if line.strip() == b"state":
                print(json.dumps(state(tick, subscriptions)), flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
