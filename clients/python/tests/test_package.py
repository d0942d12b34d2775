"""The package as others get it: types, the wheel in an empty project, the example, the driver."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from conftest import Service
from patience import PATIENCE_S, until, within

import tickcast

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
REPOSITORY = ROOT.parent.parent
FIVE_LINES = """
import asyncio, tickcast

async def main() -> None:
    async with tickcast.connect("{url}") as tick:
        async for t in tick.ticker(["sim:S0-USD"], max_rate=5):
            print(t.symbol, t.last, t.state)
            break

asyncio.run(main())
"""


def run(*command: object) -> str:
    """Runs a command, and gives what it prints."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")}
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_package_and_its_users_are_typed_strictly() -> None:
    config = ROOT / "pyproject.toml"
    mypy = (sys.executable, "-m", "mypy", "--strict", "--config-file", config)
    cache = ROOT / ".mypy_cache"
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src")}
    for what in ("src/tickcast", "tests/typed_use.py", "conformance/driver.py", "bench"):
        done = subprocess.run(
            [*map(str, mypy), "--cache-dir", str(cache), str(ROOT / what)],
            capture_output=True, text=True, env=environment, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_runs_the_five_lines_in_an_empty_project(
    service: Service, tmp_path: Path
) -> None:
    run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet",
        "--wheel-dir", tmp_path, ROOT,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "tickcast/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {
        "tickcast", f"tickcast-{tickcast.__version__}.dist-info",
    }  # fmt: skip
    venv.create(tmp_path / "project", with_pip=True)
    python = tmp_path / "project" / "bin" / "python"
    # What it depends on is the one that these tests have: nothing is fetched.
    (packages,) = (tmp_path / "project" / "lib").glob("python*/site-packages")
    for file in distribution("websockets").files or []:
        if ".." not in file.parts:
            (packages / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), packages / file)
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index")
    run(python, *install, wheel)
    run(python, "-m", "pip", "check", "--disable-pip-version-check")
    program = tmp_path / "five_lines.py"
    program.write_text(FIVE_LINES.format(url=service.url))
    symbol, last, state = run(python, "-W", "error", program).split()
    assert (symbol, state) == ("sim:S0-USD", "live") and float(last) > 0
    where = "import tickcast; print(tickcast.__file__)"
    assert str(tmp_path) in run(python, "-c", where)


async def test_the_example_shows_a_live_table(service: Service) -> None:
    example = REPOSITORY / "examples" / "python" / "ticker.py"
    assert len(example.read_text().splitlines()) <= 30
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(example), service.url, "sim:*",
        stdout=asyncio.subprocess.PIPE, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        tables = 0
        while tables < 3:
            line = (await within(process.stdout.readline())).decode()
            assert line, "the example has ended"
            tables += "live: 5 instruments" in line
            if "sim:S0-USD" in line:
                assert line.split()[-1] == "live"
    finally:
        process.terminate()
        await process.wait()


async def test_the_example_says_why_it_ends(service: Service) -> None:
    example = REPOSITORY / "examples" / "python" / "ticker.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(example), service.url, "sim:NOPE",
        stderr=asyncio.subprocess.PIPE, env=environment,
    )  # fmt: skip
    _, said = await within(process.communicate())
    assert process.returncode == 1 and b"sim:NOPE: unknown symbol (4404)" in said


@pytest.mark.parametrize("encoding", ["json", "protobuf", "sse", "carrier-pigeon"])
async def test_the_driver_keeps_to_its_contract(service: Service, encoding: str) -> None:
    wanted = [
        {"channel": "ticker", "symbol": ["sim:*"], "max_rate": 4},
        {"channel": "book", "symbol": ["sim:S0-USD"], "depth": 10},
        {"channel": "trades", "symbol": ["sim:*"]},
        {"channel": "bars", "symbol": ["sim:*"], "interval": "1s"},
    ]
    environment = {
        **os.environ,
        "TICKCAST_URL": service.url,
        "TICKCAST_ENCODING": encoding,
        "TICKCAST_SUBSCRIPTIONS": json.dumps(wanted),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "conformance" / "driver.py"), env=environment, limit=2**24,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        first = (await within(process.stdout.readline())).decode().strip()
        if encoding == "carrier-pigeon":
            assert first == "unsupported carrier-pigeon" and await within(process.wait()) == 3
            return
        assert first == "ready"
        held: dict[str, dict[str, Any]] = {}
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while len(held.get("bars", {})) < 5 or len(held.get("ticker", {})) < 5 or not held["book"]:
            assert asyncio.get_running_loop().time() < deadline, held
            process.stdin.write(b"state\n")
            held = json.loads(await within(process.stdout.readline()))
        transport = "sse" if encoding == "sse" else "websocket"
        assert held["connection"]["transport"] == transport
        assert held["connection"]["state"] == "live" and held["connection"]["resyncs"] == 0
        assert set(held["status"].values()) == {"live"}
        text = json.dumps(held)
        assert "ts_publish" not in text and '"1s"' in text
        process.stdin.write(b"stop\n")
        assert await within(process.wait()) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_driver_fetches_tokens_as_they_run_out(start: Callable[..., Service]) -> None:
    guarded = start("--sim-instruments", "3", "--sim-rate", "50", "--auth-secret")
    given = 0

    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal given
        given += 1
        await reader.readuntil(b"\r\n\r\n")
        token = guarded.token("--expires", "9s").encode()  # Three seconds are left for the next.
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(token), token))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(give, "127.0.0.1", 0) as desk:
        environment = {
            **os.environ,
            "TICKCAST_URL": guarded.url,
            "TICKCAST_ENCODING": "json",
            "TICKCAST_TOKEN_URL": f"http://127.0.0.1:{desk.sockets[0].getsockname()[1]}/token",
            "TICKCAST_SUBSCRIPTIONS": '[{"channel":"ticker","symbol":["sim:*"]}]',
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(ROOT / "conformance" / "driver.py"), env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        try:
            assert await within(process.stdout.readline()) == b"ready\n"
            await until(lambda: given >= 3, "three tokens")
            process.stdin.write(b"state\n")
            held = json.loads(await within(process.stdout.readline()))
            assert len(held["ticker"]) == 3 and held["connection"]["reconnects"] == 0
            process.stdin.close()
            assert await within(process.wait()) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_the_service_sees_an_orderly_end(service: Service) -> None:
    async with tickcast.connect(service.url) as tick:
        await within(tick.ticker("sim:*").ready())
        session = tick.connection.session

    def ends() -> list[str]:
        lines = service.log().splitlines()
        return [line for line in lines if "closed" in line and f'session="{session}"' in line]

    await until(ends, "the service's word on it")
    (line,) = ends()
    assert "code=1000" in line
