"""No network, a download cut half-way, a server with other bytes: a partial file is never taken for data."""

import http.server
import threading
import time

import pytest

from gc2l.data import cifar
from gc2l.data.cifar import load_cifar, prepare_cifar


@pytest.fixture
def server(monkeypatch):
    """A server on the loopback device that gives `content`, of which it announces `length` bytes; None: it is off."""

    class Handler(http.server.BaseHTTPRequestHandler):
        content, length, asked = b"", 0, 0

        def do_GET(self):
            type(self).asked += 1
            self.send_response(200)
            self.send_header("Content-Length", str(self.length))
            self.end_headers()
            self.wfile.write(self.content)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{running.server_port}/cifar-10-python.tar.gz"
    monkeypatch.setattr(cifar._SOURCES["cifar10"], "url", url)
    yield Handler, running
    running.shutdown()
    running.server_close()


def test_downloads(trials, server, tmp_path):
    handler, running = server

    def trial(rng):
        root = tmp_path / str(rng.random())
        handler.content = rng.randbytes(rng.randrange(1, 100_000))
        handler.length = len(handler.content) + rng.choice([0, 1, 100_000])
        handler.asked = 0
        begun = time.monotonic()
        with pytest.raises((FileNotFoundError, ValueError), match=r"cifar10|cifar-10"):
            prepare_cifar("cifar10", root)
        assert handler.asked <= 10
        assert time.monotonic() - begun < 60
        with pytest.raises((FileNotFoundError, ValueError)):
            load_cifar("cifar10", root)

    trials.run("download cut, or other bytes: refused, never read as images", trial, short=2, long=10)
    running.shutdown()
    running.server_close()
    with pytest.raises(FileNotFoundError, match="the download failed"):
        prepare_cifar("cifar10", tmp_path / "off")
