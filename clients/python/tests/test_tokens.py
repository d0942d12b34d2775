"""Tokens against the real service: shown in band, refreshed in time, refused for good once."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Service
from patience import until, within

import tickcast
from tickcast import Backoff
from tickcast.tokens import Tokens, refresh_in_s

QUICK = Backoff(base_s=0.05, max_s=0.2)
TRANSPORTS = ["websocket", "sse"]
SHORT = "9s"
"""A life that ends within a test, but not before what has to be done in it; a third is left for the
renewal."""


@pytest.fixture
def guarded(start: Callable[..., Service]) -> Service:
    """A service that wants tokens."""
    return start("--sim-instruments", "5", "--sim-rate", "100", "--auth-secret")


class Desk:
    """Gives tokens, and counts them."""

    def __init__(self, service: Service, *arguments: str) -> None:
        self.service = service
        self.arguments = arguments
        self.given = 0

    async def __call__(self) -> str:
        self.given += 1
        return self.service.token(*self.arguments)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_token_opens_the_door_on_every_transport(guarded: Service, transport: Any) -> None:
    desk = Desk(guarded, "--sub", "desk-7")
    async with tickcast.connect(guarded.url, token=desk, transport=transport) as tick:
        held = await within(tick.ticker("sim:*").ready())
        assert len(held) == 5
        if transport == "websocket":
            assert tick.connection.subject == "desk-7" and tick.connection.token_expires_at
        assert len(await within(tick.instruments())) == 5
        assert len(await within(tick.snapshot("ticker", ["sim:S0-USD"]))) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("token", [None, "no.to.ken"])
async def test_without_a_good_token_the_door_stays_shut(
    guarded: Service, transport: Any, token: str | None
) -> None:
    client = tickcast.connect(guarded.url, token=token, transport=transport, backoff=QUICK)
    async with client as tick:
        held = tick.ticker("sim:*")
        await within(tick.wait_closed())
        assert tick.connection.reason is not None and tick.connection.reason.code == 4401
        with pytest.raises(tickcast.ClosedError, match="4401"):
            await within(anext(aiter(held)))
        with pytest.raises(tickcast.ClosedError):
            await within(tick.wait_live())


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_refused_token_is_replaced_once(guarded: Service, transport: Any) -> None:
    given: list[str] = []

    def bad() -> str:
        given.append("no.to.ken")
        return given[-1]

    client = tickcast.connect(guarded.url, token=bad, transport=transport, backoff=QUICK)
    async with client as tick:
        await within(tick.wait_closed())
        assert len(given) == 2

    def first_bad() -> str:
        given.append("no.to.ken" if not given else guarded.token())
        return given[-1]

    given.clear()
    client = tickcast.connect(guarded.url, token=first_bad, transport=transport, backoff=QUICK)
    async with client as tick:
        await within(tick.wait_live())
        assert len(given) == 2


async def test_a_token_is_refreshed_before_it_expires(guarded: Service) -> None:
    desk = Desk(guarded, "--expires", SHORT)
    async with tickcast.connect(guarded.url, token=desk, backoff=QUICK) as tick:
        held = await within(tick.ticker("sim:*").ready())
        first = tick.connection.token_expires_at
        await until(lambda: tick.connection.token_expires_at != first, "a new token")
        await until(lambda: desk.given >= 3, "one more token")
        assert tick.connection.reconnects == 0 and tick.connection.is_live
        assert all(t.state == "live" for t in held.values())


async def test_an_expired_token_that_nobody_renews_is_the_end(guarded: Service) -> None:
    token = guarded.token("--expires", SHORT)
    async with tickcast.connect(guarded.url, token=token, backoff=QUICK) as tick:
        await within(tick.ticker("sim:*").ready())
        await within(tick.wait_closed())
        assert tick.connection.reason is not None and tick.connection.reason.code == 4401


async def test_an_expired_token_of_an_event_stream_is_replaced(guarded: Service) -> None:
    desk = Desk(guarded, "--expires", "2s")
    client = tickcast.connect(guarded.url, token=desk, transport="sse", backoff=QUICK)
    async with client as tick:
        held = await within(tick.ticker("sim:*").ready())
        await until(lambda: tick.connection.reconnects >= 1, "another connection")
        await within(held.ready())
        assert desk.given >= 2


async def test_a_desk_that_is_closed_is_asked_again_later(guarded: Service) -> None:
    asked: list[int] = []

    def closed_at_first() -> str:
        asked.append(1)
        if len(asked) < 3:
            raise OSError("nobody there")
        return guarded.token()

    async with tickcast.connect(guarded.url, token=closed_at_first, backoff=QUICK) as tick:
        await within(tick.wait_live())
        assert len(asked) == 3


async def test_what_a_token_does_not_entitle_to_fails_and_new_rights_count(
    guarded: Service,
) -> None:
    tokens = [
        ("--expires", SHORT, "--entitlement", "sim:S0-USD/ticker"),
        ("--expires", "60s", "--entitlement", "*"),
    ]

    def desk() -> str:
        return guarded.token(*(tokens.pop(0) if len(tokens) > 1 else tokens[0]))

    async with tickcast.connect(guarded.url, token=desk, backoff=QUICK) as tick:
        held = await within(tick.ticker(["sim:S0-USD", "sim:S1-USD"]).ready())
        assert held.failed["sim:S1-USD"].code == 4403 and "sim:S1-USD" not in held
        await until(lambda: "sim:S1-USD" in held, "the other name")
        assert not held.failed and tick.connection.reconnects == 0


async def test_rights_that_a_new_token_lacks_end_at_once(guarded: Service) -> None:
    tokens = [
        ("--expires", SHORT, "--entitlement", "*"),
        ("--expires", "60s", "--entitlement", "sim:S0-USD/ticker"),
    ]

    def desk() -> str:
        return guarded.token(*(tokens.pop(0) if len(tokens) > 1 else tokens[0]))

    async with tickcast.connect(guarded.url, token=desk, backoff=QUICK) as tick:
        held = await within(tick.ticker(["sim:S0-USD", "sim:S1-USD"]).ready())
        assert len(held) == 2
        await until(lambda: held.failed, "a failure")
        assert held.failed["sim:S1-USD"].code == 4403
        assert "sim:S1-USD" not in held and "sim:S0-USD" in held


async def test_a_token_is_not_needed_where_none_is_asked_for(service: Service) -> None:
    async with tickcast.connect(service.url, token="any") as tick:
        await within(tick.ticker("sim:*").ready())


async def test_a_callback_that_gives_no_text_is_said_so() -> None:
    wrong: Any = lambda: 7  # noqa: E731
    with pytest.raises(ValueError, match="int, not a text"):
        await Tokens(wrong).fetch()


@pytest.mark.parametrize(
    ("left", "expected"), [(3600, 3570), (60, 40), (90, 60), (3, 2), (0, 30), (-5, 30)]
)
def test_the_refresh_comes_before_the_end(left: int, expected: float) -> None:
    assert refresh_in_s(1_000_000 + left, 1_000_000) == pytest.approx(expected)
