"""Every program of the documentation runs as it stands."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
from conftest import Service
from patience import within

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT.parent.parent / "docs" / "python.md")
PROGRAMS = [
    pytest.param(program, id=f"{page.name}-{number}")
    for page in PAGES
    for number, program in enumerate(
        re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    )
]
LINES_ENOUGH = 30


def test_there_are_programs() -> None:
    assert len(PROGRAMS) >= 7


@pytest.mark.parametrize("program", PROGRAMS)
async def test_it_runs(service: Service, tmp_path: Path, program: str) -> None:
    assert "ws://127.0.0.1:8080" in program
    path = tmp_path / "program.py"
    path.write_text(program.replace("ws://127.0.0.1:8080", service.url))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(path), env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    lines = 0
    try:
        # Some end by themselves, the others have shown enough.
        while lines < LINES_ENOUGH:
            line = await within(process.stdout.readline())
            if not line:
                break
            lines += 1
        if lines == LINES_ENOUGH:
            process.terminate()
        assert b"Traceback" not in await within(process.stderr.read())
        assert lines > 0 and await within(process.wait()) in (0, -15)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
