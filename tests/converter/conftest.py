"""A tiny SentenceTransformer, a hub on the loopback address, and what a conversion leaves on disk."""

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.converter.tiny_model import write_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentenceTransformer that exports in half a second, once torch is there."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_model(folder)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    return root


def listing(root: Path) -> list[str]:
    """Every path under the root, hidden ones too."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def exporting(parent: int) -> list[int]:
    """Return the living processes in which `parent` exports; a NATS server of the fixtures may be another child."""
    living = [child for child in psutil.Process(parent).children() if alive(child.pid)]
    return [child.pid for child in living if "converter.export" in child.cmdline()]


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition, deadline_s: float = 30.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        threading.Event().wait(0.02)


class Hub:
    """Speaks as much of the hub's protocol as huggingface_hub asks for: model_info and downloads of one revision."""

    SHA = "0123456789abcdef0123456789abcdef01234567"

    def __init__(self) -> None:
        self.models: dict[str, Path] = {}
        self.answer: tuple[int, str] | None = None
        self.silent = threading.Event()
        self.asked: list[str] = []
        self._go_on = threading.Event()
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                hub._serve(self, with_body=False)

            def do_GET(self) -> None:
                hub._serve(self, with_body=True)

            def log_message(self, *_args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _serve(self, handler: http.server.BaseHTTPRequestHandler, *, with_body: bool) -> None:
        self.asked.append(handler.path)
        if self.silent.is_set():
            self._go_on.wait()
            return
        status, headers, body = self._find(handler.path)
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if with_body:
            handler.wfile.write(body)

    def _find(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if self.answer is not None:
            return self.answer[0], {"X-Error-Code": self.answer[1]}, b"{}"
        parts = path.partition("?")[0].strip("/").split("/")
        name = "/".join(parts[2:4] if parts[:2] == ["api", "models"] else parts[:2])
        folder = self.models.get(name)
        if folder is None:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        if parts[0] == "api":
            siblings = [{"rfilename": each} for each in listing(folder) if (folder / each).is_file()]
            body = {"id": name, "sha": self.SHA, "siblings": siblings}
            return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()
        body_bytes = (folder / "/".join(parts[4:])).read_bytes()
        etag = f'"{hash(body_bytes) & 0xFFFFFFFF:08x}"'
        return 200, {"ETag": etag, "X-Repo-Commit": self.SHA}, body_bytes


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub that knows no model yet, and an empty cache; the child processes of this test use them."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    served = Hub()
    monkeypatch.setenv("HF_ENDPOINT", served.url)
    with contextlib.closing(served):
        yield served
