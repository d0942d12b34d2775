"""Keeps a connection to the service: opens it, says who we are, watches it, and comes back after a
loss. One task owns all of this; nothing of it outlives that task."""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from tickcast.backoff import Backoff, Pace
from tickcast.connection import Connection, Goaway, Reason
from tickcast.errors import NOT_AUTHENTICATED, LinkClosed, ProtocolFault
from tickcast.link import Link, LinkOptions
from tickcast.session import Session
from tickcast.sse_link import open_sse
from tickcast.tokens import Tokens, refresh_in_s
from tickcast.websocket_link import open_websocket
from tickcast.words import REQUEST_BYTES_MAX, Json

log = logging.getLogger("tickcast")

SILENT_HEARTBEATS = 3
STEADY_AFTER_S = 5.0
"""A connection that lived as long begins the back-off anew."""
LOOK_EVERY_S = 0.5
REQUESTS_BURST = 40
REQUESTS_PER_S = 8.0
"""A little less than a service takes from one connection."""
OUTBOX_MAX = 1_000
AUTH_WITHIN_S = 10.0
REFRESH_AGAIN_S = 1.0


class Keeper:
    """The connection of one client."""

    def __init__(
        self,
        options: LinkOptions,
        transport: str,
        backoff: Backoff,
        tokens: Tokens,
        session: Session,
        connection: Connection,
        changed: Callable[[], None],
        heard: Callable[[Json], None],
    ) -> None:
        self._options = options
        self._transport = transport
        self._backoff = backoff
        self._tokens = tokens
        self._session = session
        self._connection = connection
        self._changed = changed
        self._heard = heard
        self._link: Link | None = None
        self._outbox: deque[Json] = deque()
        self._outbox_filled = asyncio.Event()
        self._hurry = asyncio.Event()
        self._use_sse = transport == "sse"
        self._denied = False
        self._is_over = False
        self._was_live = False
        self._lives = 0
        self._not_before: float | None = None
        self._auth: dict[int, asyncio.Future[Json]] = {}

    # ------------------------------------------------------------ for the client

    def send(self, request: Json) -> None:
        """Sends a request when its turn comes."""
        if len(self._outbox) >= OUTBOX_MAX:
            raise RuntimeError(f"more than {OUTBOX_MAX} requests wait to be sent")
        self._outbox.append(request)
        self.wake()

    def wake(self) -> None:
        """There may be something to ask. The rest of this turn of the event loop is waited for:
        what is wished for in it goes into the same request."""
        self._outbox_filled.set()

    @property
    def is_interactive(self) -> bool:
        """Whether `stats` and `ping` can be asked now."""
        return (
            self._session.holdings.is_live and self._link is not None and self._link.is_interactive
        )

    def reconnect(self) -> None:
        """Gives up the connection, or the wait for the next, and tries now."""
        self._hurry.set()

    async def run(self) -> None:
        """Keeps the connection until it is of no use to come back, which the reason then says."""
        while True:
            began = asyncio.get_running_loop().time()
            try:
                ended = await self._once()
            except LinkClosed as fault:
                ended = self._lost(fault)
            if self._is_over:
                return
            await self._pause(ended, asyncio.get_running_loop().time() - began)

    # ------------------------------------------------------------ coming back

    def _lost(self, ended: LinkClosed) -> LinkClosed:
        """There is no connection any more: everything reads as stale from here on."""
        self._was_live = self._session.holdings.is_live
        self._session.disconnected()
        self._connection.reason = Reason(ended.code, ended.reason)
        self._connection.goaway = None
        self._is_over = self._is_final(ended)
        if self._is_over:
            log.error("closed: %s", ended)
            self._connection.turn("closed")
            self._changed()
        elif self._was_live:
            self._connection.turn("reconnecting")
            self._changed()
        return ended

    def _is_final(self, ended: LinkClosed) -> bool:
        if not ended.is_final:
            return False
        if ended.code == NOT_AUTHENTICATED and self._tokens.is_renewable and not self._denied:
            self._denied = True  # A new token may do; a second refusal is the last.
            return False
        return True

    async def _pause(self, ended: LinkClosed, lived_s: float) -> None:
        connection = self._connection
        if self._was_live and lived_s >= STEADY_AFTER_S:
            connection.attempt = 0
        loop = asyncio.get_running_loop()
        wait_s = self._backoff.wait_s(connection.attempt)
        if ended.retry_after_s is not None:
            # The random part keeps those who were told the same from coming together.
            wait_s = max(wait_s, ended.retry_after_s * random.uniform(1.0, 1.25))
        if self._not_before is not None:
            wait_s = max(0.0, self._not_before - loop.time())
            self._not_before = None
        if self._hurry.is_set():
            wait_s = 0.0  # Asked for while the lost connection was put away.
        if self._transport == "auto":
            # What blocks WebSockets may let plain HTTP through; the next try shows it.
            self._use_sse = ended.blocked and not self._use_sse
        connection.attempt += 1
        connection.next_attempt_at = time.time() + wait_s
        connection.turn("reconnecting" if self._lives else "connecting")
        log.warning("connection lost: %s; next try in %.2f s", ended, wait_s)
        self._changed()
        try:
            async with asyncio.timeout(wait_s):
                await self._hurry.wait()
        except TimeoutError:
            pass
        self._hurry.clear()
        connection.next_attempt_at = None

    # ------------------------------------------------------------ one connection

    async def _once(self) -> LinkClosed:
        token = await self._token()
        if self._use_sse:
            link: Link = await open_sse(self._options, token)
            self._denied = False
        else:
            link = await open_websocket(self._options)
        self._link = link
        try:
            if link.is_interactive:
                await self._greet(link, token)
            return self._lost(await self._serve(link))
        except LinkClosed as fault:
            return self._lost(fault)
        except ProtocolFault as fault:
            return self._lost(LinkClosed(None, f"a message cannot be read: {fault}"))
        finally:
            # A long goodbye must not look like a live connection, whoever asked for it.
            self._session.disconnected()
            self._link = None
            self._outbox.clear()
            for future in self._auth.values():
                future.cancel()
            self._auth.clear()
            await link.close()

    async def _token(self) -> str | None:
        try:
            return await self._tokens.fetch()
        except Exception as fault:
            # Whoever gives tokens may be down for a while.
            raise LinkClosed(None, f"no token: {fault!r}") from fault

    async def _greet(self, link: Link, token: str | None) -> None:
        """Hears the welcome, and shows the token."""
        is_welcome = False
        try:
            async with asyncio.timeout(self._options.open_timeout_s):
                welcome = await link.receive()
                if welcome.get("type") != "welcome":
                    raise ProtocolFault("the first message is no welcome")
                self._take(welcome)
                is_welcome = True
                if token is None:
                    return
                request = self._session.asking.request("auth", {"token": token})
                await link.send(request)
                while (answer := await link.receive()).get("req_id") != request["req_id"]:
                    self._take(answer)
        except TimeoutError as fault:
            # What blocks WebSockets may let them open, and nothing through.
            text = f"no welcome within {self._options.open_timeout_s:g} s"
            raise LinkClosed(None, text, blocked=not is_welcome) from fault
        except LookupError as fault:
            raise ProtocolFault(f"the welcome lacks {fault}") from fault
        is_required = welcome["data"][0].get("auth_required") is True
        self._judged(answer, is_required=is_required)

    def _judged(self, answer: Json, *, is_required: bool) -> None:
        """Hears what is said to a token."""
        if answer.get("success"):
            self._denied = False
            result = answer.get("result", {})
            self._connection.subject = result.get("sub")
            self._connection.token_expires_at = result.get("expires")
            return
        code, error = int(answer.get("code", 4500)), str(answer.get("error", ""))
        if code == 4400 and not is_required:
            log.info("the service takes no tokens: %s", error)
            return
        raise LinkClosed(code, error)

    async def _serve(self, link: Link) -> LinkClosed:
        """Lives with a connection until it ends."""
        connection = self._connection
        connection.transport, connection.encoding = link.transport, link.encoding
        connection.reconnects += 1 if self._lives else 0
        connection.goaway = None
        self._lives += 1
        self._hurry.clear()
        self._session.connected()
        self.wake()
        connection.turn("live")
        self._changed()
        duties: list[Coroutine[Any, Any, LinkClosed]] = [
            self._read(link), self._write(link), self._watch(link), self._renew(link),
            self._interrupt(),
        ]  # fmt: skip
        tasks = [asyncio.create_task(duty) for duty in duties]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # What the service said last weighs more than what followed from it.
            first = next(task for task in tasks if task in done)
            return first.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, link: Link) -> LinkClosed:
        counted = 0
        while True:
            self._take(await link.receive())
            self._connection.bytes += link.bytes_received - counted
            counted = link.bytes_received

    def _take(self, message: Json) -> None:
        """Hears one message."""
        connection = self._connection
        connection.messages += 1
        connection.last_message_at = received_at = time.time()
        if message.get("channel") == "system":
            self._system(message)
        elif message.get("method") == "auth":
            future = self._auth.pop(message.get("req_id", -1), None)
            if future is not None and not future.done():
                future.set_result(message)
        else:
            now = asyncio.get_running_loop().time()
            self._session.receive(message, now, int(received_at * 1_000_000))
            if self._session.asking.next_at() is not None:
                self.wake()
        self._heard(message)

    def _system(self, message: Json) -> None:
        try:
            item: Json = message["data"][0]
            if message["type"] == "welcome":
                self._connection.session = item["session"]
                self._connection.version = item.get("version")
                self._connection.heartbeat_ms = int(item["heartbeat_ms"])
                reads = int((item.get("limits") or {}).get("message_bytes", REQUEST_BYTES_MAX))
                self._session.asking.request_bytes_max = min(reads, REQUEST_BYTES_MAX)
            elif message["type"] == "goaway":
                after_s = item["reconnect_after_ms"] / 1000
                # In this order the wait never ends before the time that is told.
                closes_at = time.time() + after_s
                self._not_before = asyncio.get_running_loop().time() + after_s
                self._connection.goaway = Goaway(closes_at, str(item.get("reason", "")))
                log.info("going away in %.2f s: %s", after_s, item.get("reason"))
                self._changed()
        except (LookupError, TypeError, ValueError) as fault:
            raise ProtocolFault(f"system: {fault!r}") from fault

    async def _write(self, link: Link) -> LinkClosed:
        """Sends what waits, and asks again for what is due, at a pace that the service takes."""
        loop = asyncio.get_running_loop()
        pace = Pace(REQUESTS_BURST, REQUESTS_PER_S)
        asking = self._session.asking
        while True:
            due = loop.time() if self._outbox else asking.next_at()
            if due is None or due > loop.time():
                self._outbox_filled.clear()
                try:
                    async with asyncio.timeout_at(due):
                        await self._outbox_filled.wait()
                except TimeoutError:
                    pass
                continue
            await asyncio.sleep(pace.wait_s(loop.time()))
            request = self._outbox.popleft() if self._outbox else asking.take(loop.time())
            if request is not None:
                await link.send(request)

    async def _watch(self, link: Link) -> LinkClosed:
        """Looks whether the connection lives, and after what has not come."""
        loop = asyncio.get_running_loop()
        heard, heard_at = -1, loop.time()
        while True:
            connection, now = self._connection, loop.time()
            if connection.messages != heard:
                heard, heard_at = connection.messages, now
            heartbeat_ms = connection.heartbeat_ms
            silent = heartbeat_ms and now - heard_at > SILENT_HEARTBEATS * heartbeat_ms / 1000
            if silent and link.is_interactive:  # Event streams watch themselves.
                return LinkClosed(None, f"silent for {SILENT_HEARTBEATS} heartbeats")
            if self._not_before is not None and now >= self._not_before:
                return LinkClosed(1001, "its time after goaway has passed")
            self._session.asking.expire(now)
            if self._session.asking.next_at() is not None:
                self.wake()
            left = LOOK_EVERY_S
            if self._not_before is not None:
                left = min(left, self._not_before - now)
            await asyncio.sleep(max(0.0, left))

    async def _renew(self, link: Link) -> LinkClosed:
        """Shows a new token before the old one has expired."""
        while True:
            expires = self._connection.token_expires_at
            if expires is None or not self._tokens.is_renewable or not link.is_interactive:
                await asyncio.Event().wait()
                continue
            await asyncio.sleep(refresh_in_s(expires, time.time()))
            try:
                token = await self._tokens.fetch()
                request = self._session.asking.request("auth", {"token": token})
                answered: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
                self._auth[request["req_id"]] = answered
                await link.send(request)
                async with asyncio.timeout(AUTH_WITHIN_S):
                    self._judged(await answered, is_required=True)
                self._session.asking.rights_changed()
                self.wake()
            except Exception as fault:
                # A bad token changes nothing; the old one still holds until it expires.
                log.warning("the token could not be refreshed: %s", fault)
                await asyncio.sleep(REFRESH_AGAIN_S)

    async def _interrupt(self) -> LinkClosed:
        await self._hurry.wait()
        self._not_before = 0.0  # Asked for: no wait.
        return LinkClosed(None, "reconnect was asked for")
