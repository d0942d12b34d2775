"""The two encodings behind one face: whatever comes becomes the JSON message as a dict."""

import json
from typing import Literal, Protocol, TypeAlias

from tickcast.errors import ProtocolFault
from tickcast.words import Json

Encoding: TypeAlias = Literal["json", "protobuf"]
"""How messages are written."""


class Codec(Protocol):
    """An encoding for the time of one connection."""

    subprotocol: str

    def decode(self, data: str | bytes) -> Json:
        """A message. Raises ProtocolFault for what is none."""
        ...

    def encode(self, request: Json) -> str | bytes:
        """A request."""
        ...


class JsonCodec:
    """JSON in text frames."""

    subprotocol = "tickcast.v1.json"

    def decode(self, data: str | bytes) -> Json:
        """A message. Raises ProtocolFault for what is none."""
        try:
            message = json.loads(data)
        except (ValueError, RecursionError) as fault:
            raise ProtocolFault(f"no JSON: {fault}") from fault
        if not isinstance(message, dict):
            raise ProtocolFault(f"a message is no object but {type(message).__name__}")
        return message

    def encode(self, request: Json) -> str | bytes:
        """A request."""
        return json.dumps(request, separators=(",", ":"))


def codec_for(encoding: Encoding) -> Codec:
    """A codec for a new connection."""
    if encoding == "json":
        return JsonCodec()
    from tickcast.protobuf import ProtobufCodec

    return ProtobufCodec()
