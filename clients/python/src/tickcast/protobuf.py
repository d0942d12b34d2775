"""The binary encoding: every message becomes the very dict that its JSON would be."""

from collections.abc import Iterable
from struct import unpack

from tickcast.errors import ProtocolFault
from tickcast.protobuf_data import STATES, Streams
from tickcast.protobuf_wire import (
    inner,
    number,
    put_bytes,
    put_double,
    put_number,
    scan,
    signed,
    text,
    varints,
)
from tickcast.words import INTERVALS, TICKER_FIELDS, Json

METHODS = (None, "subscribe", "unsubscribe", "auth", "ping", "stats")
CHANNELS = (None, "status", "ticker", "trades", "book", "bars")
REQUEST_FIELDS = {"subscribe": 2, "unsubscribe": 3, "auth": 4, "ping": 5, "stats": 6}
LIMITS = ("subscriptions", "instruments", "message_bytes")
STATS = (
    "subscriptions", "instruments", "sent_messages", "sent_bytes", "merged_updates", "lagging",
    "owed_topics", "rtt_us", "connected_us",
)  # fmt: skip


class ProtobufCodec:
    """The binary encoding for the time of one connection, which learns its streams' numbers."""

    subprotocol = "tickcast.v1.protobuf"

    def __init__(self) -> None:
        streams = Streams()
        self._bodies = {
            1: streams.ticker,
            2: streams.book,
            3: streams.trades,
            4: streams.bars,
            5: _status,
            6: _heartbeat,
            7: _answer,
            8: _welcome,
            9: _goaway,
        }

    def decode(self, data: str | bytes) -> Json:
        """A message; an empty one for a kind that is unknown. Raises ProtocolFault."""
        if not isinstance(data, bytes):
            raise ProtocolFault("a text message in the binary encoding")
        try:
            for field, value in scan(data):
                body = self._bodies.get(field)
                if body is not None:
                    return body(inner(value))
        except (ValueError, LookupError, OverflowError) as fault:
            raise ProtocolFault(f"no protobuf: {type(fault).__name__}: {fault}") from fault
        return {}

    def encode(self, request: Json) -> bytes:
        """A request."""
        method, params = request["method"], request.get("params", {})
        out = b""
        if "req_id" in request:
            out = put_bytes(1, _req_id(request["req_id"]))
        if method == "subscribe":
            body = _subscribe(params)
        elif method == "unsubscribe":
            body = _patterns(params)
            if "interval" in params:
                body += put_number(3, INTERVALS.index(params["interval"]) + 1)
        elif method == "auth":
            body = put_bytes(1, params["token"].encode())
        else:
            body = b""
        return out + put_bytes(REQUEST_FIELDS[method], body)


def _status(data: bytes) -> Json:
    fields = dict(scan(data))
    item: Json = {
        "symbol": text(fields.get(1, b"")),
        "epoch": fields.get(2, 0),
        "seq": fields.get(3, 0),
        "state": STATES[number(fields.get(5, 0))],
        "ts_state": signed(number(fields.get(6, 0))),
    }
    if 4 in fields:
        item["prev"] = fields[4]
    return {"channel": "status", "type": "update" if 4 in fields else "snapshot", "data": [item]}


def _heartbeat(data: bytes) -> Json:
    return {"channel": "heartbeat", "ts_publish": signed(number(dict(scan(data)).get(1, 0)))}


def _goaway(data: bytes) -> Json:
    fields = dict(scan(data))
    item = {"reconnect_after_ms": fields.get(1, 0), "reason": text(fields.get(2, b""))}
    return {"channel": "system", "type": "goaway", "data": [item]}


def _welcome(data: bytes) -> Json:
    fields = dict(scan(data))
    item: Json = {
        "session": text(fields.get(1, b"")),
        "version": text(fields.get(2, b"")),
        "heartbeat_ms": fields.get(3, 0),
        "auth_required": fields.get(4, 0) != 0,
        "limits": _limits(inner(fields.get(5, b""))),
    }
    return {"channel": "system", "type": "welcome", "data": [item]}


def _limits(data: bytes) -> Json:
    return _named(scan(data), LIMITS)


def _named(fields: Iterable[tuple[int, int | bytes]], names: tuple[str, ...]) -> Json:
    """Fields by the names of their numbers, those that are present; unknown ones are ignored."""
    return {names[field - 1]: number(v) for field, v in fields if 0 < field <= len(names)}


def _answer(data: bytes) -> Json:
    fields = dict(scan(data))
    answer: Json = {}
    method = number(fields.get(2, 0))
    if 0 < method < len(METHODS):
        answer["method"] = METHODS[method]
    if 1 in fields:
        req_id = dict(scan(inner(fields[1])))
        answer["req_id"] = text(req_id[2]) if 2 in req_id else signed(number(req_id.get(1, 0)))
    if 5 in fields:
        return {**answer, "method": "pong", "ts_publish": signed(number(fields[5]))}
    answer["success"] = 7 not in fields
    if 7 in fields:
        refused = dict(scan(inner(fields[7])))
        answer["code"], answer["error"] = refused.get(1, 0), text(refused.get(2, b""))
    elif 3 in fields:
        answer["result"] = _granted(inner(fields[3]))
    elif 4 in fields:
        answer["result"] = _authenticated(inner(fields[4]))
    elif 6 in fields:
        answer["result"] = _stats(inner(fields[6]))
    return answer


def _granted(data: bytes) -> Json:
    result: Json = {"channel": None, "symbol": [], "globs": [], "failed": []}
    fields: list[int] = []
    for field, value in scan(data):
        if field == 1:
            result["channel"] = CHANNELS[number(value)]
        elif field == 2:
            result["symbol"].append(text(value))
        elif field == 3:
            glob = dict(scan(inner(value)))
            result["globs"].append({"pattern": text(glob.get(1, b"")), "matched": glob.get(2, 0)})
        elif field == 4:
            failed = dict(scan(inner(value)))
            result["failed"].append(
                {
                    "symbol": text(failed.get(1, b"")),
                    "code": failed.get(2, 0),
                    "error": text(failed.get(3, b"")),
                }
            )
        elif field == 5:
            rate = unpack("<d", inner(value))[0]
            result["max_rate"] = int(rate) if rate.is_integer() else rate
        elif field == 6:
            fields += varints(value) if isinstance(value, bytes) else [value]
        elif field == 7:
            result["depth"] = number(value)
        elif field == 8:
            result["interval"] = INTERVALS[number(value) - 1]
    if fields:
        known = [at for at in fields if 0 < at <= len(TICKER_FIELDS)]
        result["fields"] = [TICKER_FIELDS[at - 1] for at in known]
    return result


def _authenticated(data: bytes) -> Json:
    fields = dict(scan(data))
    return {
        "sub": text(fields.get(1, b"")),
        "expires": signed(number(fields.get(2, 0))),
        "limits": _limits(inner(fields.get(3, b""))),
    }


def _stats(data: bytes) -> Json:
    # All but `rtt_us` are there also when they are 0.
    result: Json = {name: 0 for name in STATS if name != "rtt_us"}
    result |= _named(scan(data), STATS)
    result["lagging"] = result["lagging"] != 0
    return result


def _req_id(req_id: int | str) -> bytes:
    return put_bytes(2, req_id.encode()) if isinstance(req_id, str) else put_number(1, req_id)


def _patterns(params: Json) -> bytes:
    out = put_number(1, CHANNELS.index(params["channel"]))
    for symbol in params["symbol"]:
        out += put_bytes(2, symbol.encode())
    return out


def _subscribe(params: Json) -> bytes:
    out = _patterns(params)
    if "max_rate" in params:
        out += put_double(3, params["max_rate"])
    if "fields" in params:
        out += put_bytes(4, bytes(TICKER_FIELDS.index(name) + 1 for name in params["fields"]))
    if "depth" in params:
        out += put_number(5, params["depth"])
    if "interval" in params:
        out += put_number(6, INTERVALS.index(params["interval"]) + 1)
    if "snapshot" in params:
        out += put_number(7, int(params["snapshot"]))
    for symbol, since in params.get("since", {}).items():
        place = b"".join(
            put_number(at, since[name]) for at, name in ((1, "epoch"), (2, "seq")) if since[name]
        )
        out += put_bytes(8, put_bytes(1, symbol.encode()) + put_bytes(2, place))
    return out
