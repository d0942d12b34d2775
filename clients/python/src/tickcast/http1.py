"""Just as much of an HTTP/1.1 client as REST and event streams need, on asyncio's streams: one GET
to a connection, cancellable anywhere."""

import asyncio
from collections.abc import AsyncGenerator, Mapping

from tickcast.errors import LinkClosed
from tickcast.link import LinkOptions
from tickcast.refusal import refusal

HEAD_BYTES_MAX = 64 * 1024
LINE_BYTES_MAX = 16 * 1024 * 1024
BODY_BYTES_MAX = 64 * 1024 * 1024


class Response:
    """An answer whose head has been read."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.status = status
        self.headers = headers
        self._reader = reader
        self._writer = writer

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises LinkClosed where it is cut off."""
        try:
            if "chunked" in self.headers.get("transfer-encoding", "").lower():
                while size := await self._chunk_size():
                    yield await self._reader.readexactly(size)
                    await self._reader.readexactly(2)
            elif "content-length" in self.headers:
                left = int(self.headers["content-length"])
                while left and (part := await self._reader.read(min(left, 65536))):
                    left -= len(part)
                    yield part
                if left:
                    raise LinkClosed(None, f"{left} bytes of the answer are missing")
            else:
                while part := await self._reader.read(65536):
                    yield part
        except (OSError, asyncio.IncompleteReadError, ValueError) as fault:
            raise LinkClosed(None, f"the answer was cut off: {fault}") from fault

    async def _chunk_size(self) -> int:
        line = await self._reader.readline()
        size = int(line.partition(b";")[0], 16)
        if size > LINE_BYTES_MAX:
            raise ValueError(f"a chunk of {size} bytes")
        return size

    async def body(self) -> bytes:
        """The whole body."""
        body = bytearray()
        async for part in self.parts():
            body += part
            if len(body) > BODY_BYTES_MAX:
                raise LinkClosed(None, f"the answer is longer than {BODY_BYTES_MAX} bytes")
        return bytes(body)

    async def refusal(self) -> LinkClosed:
        """What an answer other than 200 says."""
        try:
            body = await self.body()
        except LinkClosed:
            body = b""
        return refusal(self.status, self.headers.get("retry-after", ""), body)

    def close(self) -> None:
        """Ends the connection at once."""
        self._writer.close()


async def get(options: LinkOptions, target: str, headers: Mapping[str, str]) -> Response:
    """Asks for a path with its query. Raises LinkClosed."""
    address = options.address
    try:
        async with asyncio.timeout(options.open_timeout_s):
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=options.tls(), limit=LINE_BYTES_MAX
            )
            try:
                lines = [f"GET {address.path}{target} HTTP/1.1", f"Host: {address.authority}"]
                lines += [f"{name}: {value}" for name, value in headers.items()]
                lines += ["Connection: close", "", ""]
                writer.write("\r\n".join(lines).encode("latin-1"))
                status, fields = _head(await reader.readuntil(b"\r\n\r\n"))
            except BaseException:
                writer.close()
                raise
    except TimeoutError as fault:
        text = f"no answer within {options.open_timeout_s:g} s"
        raise LinkClosed(None, text) from fault
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as fault:
        raise LinkClosed(None, str(fault) or type(fault).__name__) from fault
    return Response(status, fields, reader, writer)


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    if len(head) > HEAD_BYTES_MAX:
        raise ValueError(f"a head of {len(head)} bytes")
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"{first[:40]!r} is no HTTP/1 answer")
    fields = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            fields[name.strip().lower()] = value.strip()
    return int(rest[:3]), fields
