"""The Python package `websockets` against the service, written without a look at our own SDKs.

usage: python python_client.py BASE_URL; prints READY when the service may be stopped. Exit code
0 when everything was as the protocol promises, else 1 and what was expected and seen.
"""

import asyncio
import http.client
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
import zlib

import websockets

DEADLINE_S = 170
PATIENCE_S = 60
UPDATES_MIN = 20
SUBPROTOCOL = "tickcast.v1.json"
AGREED = ["permessage-deflate", "server_no_context_takeover", "client_no_context_takeover"]
# The service is on this machine, whatever proxy the environment names.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
DECIMAL = re.compile(r"^\d+(\.\d+)?$")
FIELDS = "last last_size bid bid_size ask ask_size open high low volume".split()


class Fault(Exception):
    """What was expected, and what was seen."""


def expect(holds, expected, seen):
    """Fails in words."""
    if not holds:
        raise Fault(f"expected {expected}; saw {str(seen)[:600]}")


def log(text):
    """One thing that holds."""
    print(f"ok: {text}", flush=True)


def get(url):
    """Status and JSON body of an address."""
    try:
        with DIRECT.open(url, timeout=PATIENCE_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class Client:
    """A connection whose every message is judged by the client's rule."""

    def __init__(self, base):
        self.base = base
        self.socket = None
        self.welcome = None
        self.goaway = None
        self.held = {}
        self.values = {}
        self.books = {}
        self.counts = {}
        self.statuses = set()
        self.subscribed = set()
        self.answers = {}
        self.requests = 0

    async def open(self):
        """Connects and takes the welcome."""
        url = self.base.replace("http", "ws", 1) + "/v1/ws"
        self.socket = await websockets.connect(url, subprotocols=[SUBPROTOCOL], proxy=None)
        expect(self.socket.subprotocol == SUBPROTOCOL, SUBPROTOCOL, self.socket.subprotocol)
        first = json.loads(await self.receive())
        expect((first.get("channel"), first.get("type")) == ("system", "welcome"), "welcome", first)
        self.welcome = first["data"][0]
        expect(self.welcome["heartbeat_ms"] > 0, "heartbeat_ms", first)
        return self

    async def receive(self):
        """The next message as text."""
        try:
            message = await asyncio.wait_for(self.socket.recv(), PATIENCE_S)
        except asyncio.TimeoutError:
            raise Fault(f"expected a message; saw nothing in {PATIENCE_S} s, {self.counts}") from None
        expect(isinstance(message, str), "a text frame", message)
        return message

    async def until(self, ready, what):
        """Reads until `ready()`."""
        messages = 0
        while not ready():
            messages += 1
            expect(messages < 100_000, what, self.counts)
            try:
                self.hear(json.loads(await self.receive()))
            except websockets.ConnectionClosed as closed:
                raise Fault(f"expected {what}; saw a close: {closed}, {self.counts}") from None

    async def request(self, method, params=None):
        """Sends a request and reads up to its answer."""
        self.requests += 1
        number = self.requests
        await self.socket.send(json.dumps({"method": method, "req_id": number, "params": params or {}}))
        await self.until(lambda: number in self.answers, f"an answer to {method}")
        return self.answers[number]

    async def subscribe(self, **params):
        """Subscribes and gives the result."""
        answer = await self.request("subscribe", params)
        expect(answer.get("success") is True, "success", answer)
        return answer["result"]

    def count(self, what):
        """How many data items of `channel type` came."""
        return self.counts.get(what, 0)

    def hear(self, message):
        """Judges one message."""
        if "method" in message:
            if message["method"] == "subscribe" and message["success"]:
                self.subscribed.add(message["result"]["channel"])
            self.answers[message["req_id"]] = message
            return
        channel, kind = message["channel"], message.get("type")
        if channel == "heartbeat":
            return
        if channel == "system":
            self.goaway = message["data"][0]
            return
        for item in message["data"]:
            self.counts[f"{channel} {kind}"] = self.count(f"{channel} {kind}") + 1
            if channel == "status":
                self.statuses.add(item["symbol"])
            else:
                expect(channel in self.subscribed, "the answer before data, and none after", item)
                expect(item["symbol"] in self.statuses, "status before data", item)
            self.follow(channel, kind, item)

    def follow(self, channel, kind, item):
        """The client's rule; nothing may be missing on a connection that reads everything."""
        name = (channel, item["symbol"])
        epoch, seq = self.held.get(name, (0, 0))
        if kind == "update":
            expect(name in self.held, "a snapshot first", item)
            expect(item["epoch"] == epoch, f"epoch {epoch}", item)
            if item["seq"] <= seq:
                return
            expect(item["prev"] <= seq, f"prev at most {seq}", item)
        else:
            expect(kind == "snapshot", "snapshot or update", kind)
        judge = getattr(self, f"judge_{channel}")
        judge(kind, item, seq)
        self.held[name] = (item["epoch"], item["seq"])

    def judge_status(self, kind, item, seq):
        """A state of the list."""
        states = ("live", "stale", "resync", "halted", "closed")
        expect(item["state"] in states, "a state", (kind, item, seq))

    def judge_ticker(self, kind, item, _seq):
        """Decimals or null; a snapshot has every field."""
        for field in FIELDS:
            expect(kind == "update" or field in item, f"{field} in a snapshot", item)
            value = item.get(field)
            expect(value is None or DECIMAL.match(value), f"a decimal in {field}", item)
        values = {} if kind == "snapshot" else self.values.get(item["symbol"], {})
        self.values[item["symbol"]] = {**values, **item}

    def judge_book(self, kind, item, _seq):
        """Levels, and Kraken's checksum over the top ten."""
        expect(item["depth"] == 10, "depth 10", item)
        old = self.books.get(item["symbol"]) if kind == "update" else None
        book = {side: dict(old[side]) if old else {} for side in ("bids", "asks")}
        for side, levels in book.items():
            for price, size in item[side]:
                if float(size) == 0:
                    levels.pop(price, None)
                else:
                    levels[price] = size
            expect(len(levels) <= 10, f"at most ten {side}", levels)
        asks = sorted(book["asks"].items(), key=lambda level: float(level[0]))
        bids = sorted(book["bids"].items(), key=lambda level: -float(level[0]))
        digits = "".join(text.replace(".", "").lstrip("0") for level in asks + bids for text in level)
        checksum = zlib.crc32(digits.encode())
        expect(checksum == item["checksum"], f"checksum {checksum} of {asks} {bids}", item)
        self.books[item["symbol"]] = book

    def judge_trades(self, kind, item, seq):
        """Dense sequence numbers."""
        seqs = [trade["seq"] for trade in item["trades"]]
        expect(seqs == list(range(seqs[0], seqs[0] + len(seqs))) if seqs else True, "dense", seqs)
        if kind == "update":
            fresh = [number for number in seqs if number > seq]
            expect(fresh and fresh[0] == seq + 1, f"trade {seq + 1} next", item)
        for trade in item["trades"]:
            expect(DECIMAL.match(trade["price"]) and DECIMAL.match(trade["size"]), "decimals", trade)
            expect(trade["side"] in ("buy", "sell"), "buy or sell", trade)

    def judge_bars(self, _kind, item, _seq):
        """Low and high enclose the others."""
        for bar in item["bars"]:
            inner = [float(bar["open"]), float(bar["close"])]
            low, high = float(bar["low"]), float(bar["high"])
            expect(low <= min(inner) and max(inner) <= high, "low and high around", bar)
            expect(bar["start"] % 1_000_000 == 0, "a whole second", bar)

    async def close(self):
        """An orderly end."""
        await self.socket.close(1000, "done")
        expect(self.socket.close_code == 1000, "close code 1000", self.socket.close_code)


async def channels(base, symbols):
    """Every channel: answer, status, snapshot, updates; then unsubscribe."""
    client = await Client(base).open()
    result = await client.subscribe(channel="ticker", symbol=["sim:*", "sim:NOPE"])
    expect(result["globs"][0]["matched"] == len(symbols), "the glob's count", result)
    expect(result["failed"][0]["code"] == 4404, "4404 for sim:NOPE", result)
    everyone = [("ticker", symbol) for symbol in symbols]
    await client.until(lambda: all(name in client.held for name in everyone), "all snapshots")
    await client.until(lambda: client.count("ticker update") >= UPDATES_MIN, "ticker updates")
    log("ticker: snapshots, updates in order")
    for channel, more in (("book", {"depth": 10}), ("trades", {}), ("bars", {"interval": "1s"})):
        await client.subscribe(channel=channel, symbol=[symbols[0]], **more)
        await client.until(lambda: client.count(f"{channel} update") >= UPDATES_MIN, channel)
        expect(client.count(f"{channel} snapshot") == 1, "one snapshot", client.counts)
        log(f"{channel}: a snapshot, updates in order")

    refused = await client.request("subscribe", {"channel": "tikcer", "symbol": ["sim:*"]})
    expect(refused["success"] is False and refused["code"] == 4400, "4400", refused)
    expect("params.channel" in refused["error"] and "tikcer" in refused["error"], "names", refused)
    expect((await client.request("ping"))["method"] == "pong", "pong", refused)
    log("a bad request is refused by name, and the connection lives on")

    await client.request("unsubscribe", {"channel": "ticker", "symbol": ["sim:*"]})
    client.subscribed.discard("ticker")
    seen = client.count("trades update")
    await client.until(lambda: client.count("trades update") > seen + 5, "more trades")
    log("no ticker after unsubscribe")
    rest(client, base, symbols[0])
    await client.close()
    log("closed cleanly")


def rest(client, base, symbol):
    """REST gives what a subscriber gets."""
    for channel, more in (("ticker", ""), ("book", "&depth=10"), ("trades", ""), ("bars", "&interval=1s")):
        url = f"{base}/v1/snapshot?channel={channel}&symbol={urllib.parse.quote(symbol)}{more}"
        status, body = get(url)
        expect(status == 200 and body["channel"] == channel, f"200 and {channel}", (status, body))
        expect(body["type"] == "snapshot" and len(body["data"]) == 1, "one snapshot", body)
        item = body["data"][0]
        epoch, seq = client.held[(channel, symbol)]
        expect(item["epoch"] == epoch and item["seq"] >= seq, f"seq from {seq}", item)
        Client(base).follow(channel, "snapshot", item)
    status, body = get(f"{base}/v1/snapshot?channel=ticker&symbol=sim:NOPE")
    expect(status == 404 and body["code"] == 4404 and body["error"], "404, code 4404", (status, body))
    log("REST gives the message that a subscriber gets")


async def resume(base, symbol):
    """A connection that says what it holds gets exactly what changed."""
    first = await Client(base).open()
    await first.subscribe(channel="ticker", symbol=[symbol])
    await first.until(lambda: first.count("ticker update") > 0, "an update")
    await first.close()
    epoch, seq = first.held[("ticker", symbol)]
    second = await Client(base).open()
    second.held[("ticker", symbol)] = (epoch, seq)
    await second.subscribe(
        channel="ticker", symbol=[symbol], since={symbol: {"epoch": epoch, "seq": seq}}
    )
    await second.until(lambda: second.count("ticker update") > 1, "updates after since")
    expect(second.count("ticker snapshot") == 0, "no snapshot after since", second.counts)
    await second.close()
    log("a connection with since gets updates only")


async def compression(base, symbol):
    """A long snapshot comes compressed, what is short plain; without an offer nothing does."""
    url = base.replace("http", "ws", 1) + "/v1/ws"
    books = []
    for offered in ("deflate", None):
        async with websockets.connect(url, compression=offered, proxy=None) as socket:
            answer = socket.response.headers.get("Sec-WebSocket-Extensions")
            expect((answer or "").split("; ") == (AGREED if offered else [""]), AGREED, answer)
            frames = []
            for extension in socket.protocol.extensions:
                watch_frames(extension, frames)
            await socket.send(json.dumps({
                "method": "subscribe",
                "params": {"channel": "book", "symbol": [symbol], "depth": 500, "max_rate": 1},
            }))
            while True:
                text = await asyncio.wait_for(socket.recv(), PATIENCE_S)
                message = json.loads(text)
                if message.get("channel") == "book":
                    break
        expect(message["type"] == "snapshot" and len(text) > 1024, "a long snapshot", message)
        books.append(set(message["data"][0]))
        if offered:
            for compressed, length, plain in frames:
                expect(not compressed or length < plain, "fewer bytes", (length, plain))
                expect(compressed == (plain >= 1024), "long ones compressed", (compressed, plain))
            log(f"a snapshot of {frames[-1][2]} bytes comes compressed in {frames[-1][1]}")
    expect(books[0] == books[1], "the same fields", books)
    log("who offers no compression gets none")


def watch_frames(extension, frames):
    """Notes of each message whether it came compressed, its length on the line and afterwards."""
    decode = extension.decode

    def decode_and_note(frame, **more):
        plain = decode(frame, **more)
        if frame.opcode in (1, 2):
            frames.append((frame.rsv1, len(frame.data), len(plain.data)))
        return plain

    extension.decode = decode_and_note


async def frames(base):
    """Ping frames, seen where nothing else is sent."""
    client = await Client(base).open()
    pong = await client.socket.ping("are you there")
    await asyncio.wait_for(pong, PATIENCE_S)
    await client.close()
    log("ping frames are answered")


def events(base, symbol, last_id, enough):
    """The fields of server-sent events until there are `enough` of tickers."""
    parts = urllib.parse.urlsplit(base)
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    line = kinds[parts.scheme](parts.hostname, parts.port, timeout=PATIENCE_S)
    headers = {"Last-Event-ID": last_id} if last_id else {}
    line.request("GET", f"/v1/sse?channel=ticker&symbol={urllib.parse.quote(symbol)}", headers=headers)
    answer = line.getresponse()
    kind = answer.getheader("content-type", "")
    expect(answer.status == 200 and kind.startswith("text/event-stream"), "an event stream", kind)
    tickers, event = [], {}
    while len(tickers) < enough:
        text = answer.readline().decode().rstrip("\r\n")
        if text:
            name, _, value = text.partition(":")
            event[name] = value.strip()
            continue
        if event.get("event") == "ticker":
            tickers.append(event)
        elif event:
            expect("id" not in event, "no id but on ticker events", event)
        event = {}
    line.close()
    return tickers


def server_sent_events(base, symbol):
    """Ids, and a resume by Last-Event-ID."""
    tickers = events(base, symbol, None, 5)
    for event in tickers:
        item = json.loads(event["data"])["data"][0]
        expect(event.get("id") == f"{item['epoch']}-{item['seq']}", "the id epoch-seq", event)
    again = json.loads(events(base, symbol, tickers[-1]["id"], 1)[0]["data"])
    seq = json.loads(tickers[-1]["data"])["data"][0]["seq"]
    expect(again["type"] == "update" and again["data"][0]["prev"] == seq, f"prev {seq}", again)
    log("server-sent events carry ids, and Last-Event-ID resumes them")


async def farewell(base):
    """Holds a subscription until the service goes."""
    client = await Client(base).open()
    await client.subscribe(channel="ticker", symbol=["sim:*"])
    await client.until(lambda: client.count("ticker update") >= UPDATES_MIN, "updates")
    print("READY", flush=True)
    await client.until(lambda: client.goaway, "goaway")
    expect(client.goaway["reason"] == "drain", "the reason drain", client.goaway)
    expect(client.goaway["reconnect_after_ms"] >= 0, "a delay", client.goaway)
    try:
        while True:
            client.hear(json.loads(await client.receive()))
    except websockets.ConnectionClosed:
        pass
    expect(client.socket.close_code == 1001, "close code 1001", client.socket.close_code)
    log("goaway, then 1001")


async def main(base):
    """Everything, the end of the service last."""
    status, body = get(f"{base}/v1/instruments")
    symbols = [one["symbol"] for one in body["instruments"]]
    expect(status == 200 and len(symbols) == 20, "20 instruments", symbols)
    await frames(base)
    await compression(base, symbols[0])
    await channels(base, symbols)
    await resume(base, symbols[0])
    server_sent_events(base, symbols[0])
    await farewell(base)


if __name__ == "__main__":
    try:
        asyncio.run(asyncio.wait_for(main(sys.argv[1]), DEADLINE_S))
    except (Fault, websockets.WebSocketException, OSError, asyncio.TimeoutError) as fault:
        print(f"FAILED: {type(fault).__name__}: {fault}", file=sys.stderr)
        sys.exit(1)
