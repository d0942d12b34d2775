"""The wire format of protobuf, as far as the schema needs it: fields in, fields out.

Written by hand rather than generated: there is no runtime to match versions with, and what comes
out is the text of the numbers at once, without objects in between.
"""

from struct import pack
from typing import TypeAlias

Field: TypeAlias = tuple[int, int | bytes]
"""Number and value: an integer of a varint, else the bytes."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
SIGN_BIT = 1 << 63
WRAP = 1 << 64


def scan(data: bytes) -> list[Field]:
    """The fields of a message in order. Raises ValueError or IndexError for what is none."""
    fields: list[Field] = []
    at, end = 0, len(data)
    while at < end:
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = _long(data, tag, at)
        kind = tag & 7
        if kind == VARINT or kind == BYTES:
            value = data[at]
            at += 1
            if value > 127:
                # The same as `_long`, in place: most of the time goes here.
                value &= 127
                shift = 7
                while True:
                    byte = data[at]
                    at += 1
                    value |= (byte & 127) << shift
                    if byte < 128:
                        break
                    shift += 7
                    if shift > 63:
                        raise ValueError("a varint of more than ten bytes")
            if kind == VARINT:
                fields.append((tag >> 3, value))
                continue
            size = value
        elif kind == FIXED64:
            size = 8
        elif kind == FIXED32:
            size = 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > end:
            raise ValueError(f"{size} bytes announced, {end - at} there")
        fields.append((tag >> 3, data[at : at + size]))
        at += size
    return fields


def _long(data: bytes, value: int, at: int) -> tuple[int, int]:
    value &= 127
    shift = 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint of more than ten bytes")


def zigzags(data: bytes) -> list[int]:
    """The numbers of a packed list of sint64."""
    numbers = []
    at, end = 0, len(data)
    while at < end:
        value = data[at]
        at += 1
        if value > 127:
            value, at = _long(data, value, at)
        numbers.append((value >> 1) ^ -(value & 1))
    return numbers


def varints(data: bytes) -> list[int]:
    """The numbers of a packed list of enums."""
    numbers = []
    at, end = 0, len(data)
    while at < end:
        value = data[at]
        at += 1
        if value > 127:
            value, at = _long(data, value, at)
        numbers.append(value)
    return numbers


def zigzag(value: int) -> int:
    """A sint64 out of its varint."""
    return (value >> 1) ^ -(value & 1)


def signed(value: int) -> int:
    """An int64 out of its varint."""
    return value - WRAP if value >= SIGN_BIT else value


def number(value: int | bytes) -> int:
    """A field that has to be a number. Raises ValueError."""
    if isinstance(value, bytes):
        raise ValueError("bytes in place of a number")
    return value


def inner(value: int | bytes) -> bytes:
    """A field that has to be bytes. Raises ValueError."""
    if not isinstance(value, bytes):
        raise ValueError("a number in place of bytes")
    return value


def text(value: int | bytes) -> str:
    """A field that has to be a text. Raises ValueError."""
    return inner(value).decode()


def decimal_text(mantissa: int, scale: int) -> str:
    """A number of that many decimals, padded to them."""
    if not scale:
        return str(mantissa)
    digits = str(mantissa).zfill(scale + 2 if mantissa < 0 else scale + 1)
    return f"{digits[:-scale]}.{digits[-scale:]}"


def put_number(field: int, value: int) -> bytes:
    """A field with a varint."""
    return _varint(field << 3 | VARINT) + _varint(value % WRAP)


def put_bytes(field: int, value: bytes) -> bytes:
    """A field with bytes, a text or a message."""
    return _varint(field << 3 | BYTES) + _varint(len(value)) + value


def put_double(field: int, value: float) -> bytes:
    """A field with a double."""
    return _varint(field << 3 | FIXED64) + pack("<d", value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
