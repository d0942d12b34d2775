"""Fixtures: the real service, on ports of its own choosing, and a proxy before it that faults."""

import asyncio
import http.client
import os
import re
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from fault_proxy import FaultProxy
from hypothesis import HealthCheck, settings
from patience import PATIENCE_S

import tickcast

BINARY = os.environ.get("TICKCAST_BIN")
LISTENING = re.compile(r"listening on \w+://[\d.]+:(\d+) admin http://(\S+)")

# The same examples everywhere, however slow the machine is.
settings.register_profile(
    "steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


def own_ip() -> str:
    """An address of the loopback network that no other process uses, so that a port to which a
    service comes back is still free."""
    pid = os.getpid()
    return f"127.{64 | (pid >> 16 & 63)}.{pid >> 8 & 255}.{pid & 255}"


class Service:
    """A running `tickcast serve`."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        self.arguments = arguments
        # Certificates are made out to localhost.
        self.host = "127.0.0.1" if "--tls-cert" in arguments else own_ip()
        self.port = 0
        self._not_before = 0.0
        self.process: subprocess.Popen[bytes] | None = None
        self._log = directory / "service.log"
        self.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ws://{self.host}:{self.port}"

    def start(self) -> None:
        """Starts it, and waits until it knows its instruments; where it listened before when it ran
        already."""
        # Two runs within one second would count their epochs from the same number.
        time.sleep(max(0.0, self._not_before - time.monotonic()))
        command = [
            str(BINARY), "serve", "--listen", f"{self.host}:{self.port}", "--admin", "127.0.0.1:0",
            *self.arguments,
        ]  # fmt: skip
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TICKCAST_")}
        # A line for each connection that ends, also in order.
        environment["TICKCAST_LOG"] = "info,tickcast::connection=debug"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + PATIENCE_S
        while (found := LISTENING.search(self.log())) is None or not _is_ready(found[2]):
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)
        self.port = int(found[1])
        self._not_before = time.monotonic() + 1.0

    def log(self) -> str:
        """What it said."""
        return self._log.read_text()

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Ends it, by default without a word."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE_S)

    def await_trades(self) -> None:
        """Waits until every instrument is live and has a last price, so that no value is
        missing."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            values = asyncio.run(_last_prices(self.url))
            if values and all(values):
                return
            assert time.monotonic() < deadline, f"no trade yet: {values}"
            time.sleep(0.02)

    def token(self, *arguments: str) -> str:
        """A token of `tickcast token` with the service's secret."""
        secret = str(self.directory / "secret")
        command = [str(BINARY), "token", "--auth-secret", secret, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


async def _last_prices(url: str) -> list[object]:
    tick = tickcast.connect(url)
    symbols = [one.symbol for one in await tick.instruments()]
    tickers = await tick.snapshot("ticker", symbols) if symbols else []
    return [t.last if t.state == "live" else None for t in tickers]


def _is_ready(admin: str) -> bool:
    asking = http.client.HTTPConnection(admin, timeout=PATIENCE_S)
    try:
        asking.request("GET", "/readyz")
        return asking.getresponse().status == 200
    finally:
        asking.close()


def needs_binary() -> None:
    """Without the binary a test is skipped visibly, and fails in CI."""
    if BINARY:
        return
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail("TICKCAST_BIN does not name the service's binary")
    pytest.skip("TICKCAST_BIN does not name the service's binary")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts services with arguments; they end with the test."""
    needs_binary()
    running: list[Service] = []

    def start_one(*arguments: str) -> Service:
        directory = tmp_path / f"service-{len(running)}"
        directory.mkdir()
        if "--auth-secret" in arguments:
            (directory / "secret").write_text("0123456789abcdef0123456789abcdef")
            at = arguments.index("--auth-secret") + 1
            arguments = (*arguments[:at], str(directory / "secret"), *arguments[at:])
        running.append(Service(directory, *arguments))
        return running[-1]

    yield start_one
    for service in running:
        if service.process is not None and service.process.poll() is None:
            service.stop()


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    """A service of five simulated instruments."""
    running = start("--sim-instruments", "5", "--sim-rate", "100")
    running.await_trades()
    return running


@pytest_asyncio.fixture
async def proxy(service: Service) -> AsyncIterator[FaultProxy]:
    """A proxy before that service."""
    async with FaultProxy(service.url) as running:
        yield running
