"""A stand-in for the W&B server on this machine: the five GraphQL calls of `wandb sweep` and `wandb agent`."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml


@dataclass
class Server:
    """A server with one sweep, which hands out `points` one after the other.

    Attributes:
        points: parameters of the runs, set by the test.
        config: the sweep's configuration as it arrived.
        url: where the server listens.
        running: what the agent's latest report said of its runs.
        stored: the configuration that a run has told the server, where the run ended as preempting; else None.
        resumed: the runs that were handed out again, each once.
    """

    points: Sequence[dict] = ()
    stored: Callable[[str], Mapping | None] = lambda run: None
    resumed: list[str] = field(default_factory=list)
    config: str | None = None
    url: str = ""
    running: dict = field(default_factory=dict)
    handed_out: int = 0

    def answer(self, query: str, variables: dict) -> dict | None:
        """The data of the answer to a query; None for one that nobody should need."""
        project = {"id": "p", "name": "gc2l", "entity": {"id": "e", "name": "tester"}}
        if "upsertSweep" in query:
            self.config = variables["config"]
            return {"upsertSweep": {"sweep": {"name": "sweep001", "project": project}, "configValidationWarnings": []}}
        if "sweep(sweepName" in query:
            sweep = {"id": "s", "name": "sweep001", "method": "grid", "state": "RUNNING", "config": self.config}
            return {"project": {"sweep": sweep | {"runs": {"edges": []}}}}
        if "createAgent" in query:
            return {"createAgent": {"agent": {"id": "a"}}}
        if "agentHeartbeat" in query:
            self.running = json.loads(variables["runState"])
            return {"agentHeartbeat": {"agent": {"id": "a"}, "commands": json.dumps(self._commands())}}
        if "viewer" in query:
            return {"viewer": {"id": "u", "username": "tester", "entity": "tester", "admin": False, "flags": "{}"}}
        return None

    def _commands(self) -> list[dict]:
        if self.running:
            return []
        last = f"run{self.handed_out:04d}"
        if last not in self.resumed and (stored := self.stored(last)) is not None:
            self.resumed.append(last)
            return [self._command("resume", last, stored)]
        if self.handed_out == len(self.points):
            return [{"type": "exit"}]
        point = self.points[self.handed_out]
        self.handed_out += 1
        return [self._command("run", f"run{self.handed_out:04d}", point)]

    def _command(self, kind: str, run: str, values: Mapping) -> dict:
        program = yaml.safe_load(self.config)["program"]
        arguments = {name: {"value": values[name]} for name in sorted(values)}
        return {"type": kind, "run_id": run, "program": program, "args": arguments}


@contextmanager
def wandb_server() -> Iterator[Server]:
    """Run a `Server` on a free port of the loopback interface."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path != "/graphql":
                self._send(404, b"{}")
                return
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            data = server.answer(request["query"], request.get("variables") or {})
            content = {"errors": [{"message": "not here"}]} if data is None else {"data": data}
            self._send(200, json.dumps(content).encode())

        def do_GET(self) -> None:
            self._send(404, b"{}")

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
