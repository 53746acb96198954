"""A real ``tensorboard`` process on a port of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from dgm_tb.plugin.wire import unpack
from tests.waiting import until

_ADDRESS = re.compile(r"TensorBoard \S+ at (http://\S+)")


@dataclass
class TensorBoard:
    """``address`` ends in a slash, path prefix included; ``log`` is what the process has printed."""

    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list)

    @property
    def address(self) -> str | None:
        found = _ADDRESS.search("".join(self.log))
        return found[1].rstrip("/") + "/" if found else None

    def get(self, path: str, **parameters: object) -> tuple[int, str, bytes]:
        """Status, content type and body of ``path`` below the address."""
        url = f"{self.address}{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=60) as reply:
                return reply.status, reply.headers["Content-Type"], reply.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.headers["Content-Type"], refusal.read()

    def json(self, path: str, **parameters: object) -> Any:
        status, _, body = self.get(path, **parameters)
        assert status == 200, body
        return json.loads(body)

    def arrays(self, path: str, **parameters: object) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        status, _, body = self.get(path, **parameters)
        assert status == 200, body
        return unpack(body)


@contextmanager
def tensorboard(
    *arguments: str, home: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[TensorBoard]:
    """Runs ``tensorboard`` with these arguments, and these variables beside its own ones, until the block ends."""
    command = [str(Path(sys.executable).with_name("tensorboard")), "--host", "127.0.0.1", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=home or Path(__file__).parents[2],
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    server = TensorBoard(process)
    assert process.stdout is not None
    reader = threading.Thread(target=server.log.extend, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        until(lambda: server.address or process.poll() is not None, seconds=120)
        assert server.address, "".join(server.log)
        yield server
    finally:
        process.terminate()
        process.wait(30)
        reader.join()
        process.stdout.close()
