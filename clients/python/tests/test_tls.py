"""wss:// and https://, with a certificate of one's own."""

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Service
from patience import until, within

import tickcast


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_certificate_is_trusted_only_when_told(
    start: Callable[..., Service], tmp_path: Path, transport: Any
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        f" -keyout {key} -out {certificate} -subj /CN=localhost"
        " -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    service = start("--sim-instruments", "2", "--tls-cert", str(certificate), "--tls-key", str(key))
    url = f"wss://localhost:{service.port}"
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with tickcast.connect(url, ssl=trusting, transport=transport) as tick:
        held = await within(tick.ticker("sim:*").ready())
        assert len(held) == 2 and len(await within(tick.instruments())) == 2
    async with tickcast.connect(url, transport=transport) as tick:
        await until(lambda: tick.connection.reason, "a reason")
        reason = tick.connection.reason
        assert reason is not None and "certificate verify failed" in reason.text
