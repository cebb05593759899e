#!/usr/bin/env bash
# wandb 0.31.0 (Python 3.11): told to resume a run, `wandb agent` starts the program with a flag for every key of the
# run's stored configuration, not only for the sweep's parameters: also for what the program itself had logged and for
# the client's own "_wandb". A program that knows its sweep's parameters and no other flags does not start again, so a
# preempted run is lost. The configuration is what a server has of such a run; the server here answers on the loopback
# interface, as the real one does not send such a command on request. Seen:
#
#     run     ['--seed=1']
#     resume  ["--_wandb={'cli_version': '0.31.0'}", "--model={'width': 2, 'depth': None}", '--seed=1']
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check wandb==0.31.0 pyyaml
cd "$folder"
cat > program.py <<'PROGRAM'
import os, sys
with open(os.environ["SEEN"], "a") as seen:
    print(sys.argv[1:], file=seen)
PROGRAM
cat > server.py <<'SERVER'
import json, os, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SWEEP = """{program: program.py, method: grid, parameters: {seed: {values: [1]}},
            command: ["${env}", "${interpreter}", "${program}", "${args}"]}"""
STORED = {"_wandb": {"cli_version": "0.31.0"}, "model": {"width": 2, "depth": None}, "seed": 1}
commands = [("run", {"seed": 1}), ("resume", STORED)]


def answer(query, variables):
    if "sweep(sweepName" in query:
        sweep = {"id": "s", "name": "sweep1", "method": "grid", "state": "RUNNING", "config": SWEEP}
        return {"project": {"sweep": sweep | {"runs": {"edges": []}}}}
    if "createAgent" in query:
        return {"createAgent": {"agent": {"id": "a"}}}
    if "agentHeartbeat" in query:
        found = []
        if not json.loads(variables["runState"]):
            found = [{"type": "exit"}]
            if commands:
                kind, values = commands.pop(0)
                arguments = {name: {"value": value} for name, value in values.items()}
                found = [{"type": kind, "run_id": "run1", "program": "program.py", "args": arguments}]
        return {"agentHeartbeat": {"agent": {"id": "a"}, "commands": json.dumps(found)}}
    return {"viewer": {"id": "u", "username": "tester", "entity": "tester", "admin": False, "flags": "{}"}}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        body, status = b"{}", 404
        if self.path == "/graphql":
            request = json.loads(content)
            data = answer(request["query"], request.get("variables") or {})
            body, status = json.dumps({"data": data}).encode(), 200
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
    threading.Thread(target=http.serve_forever, daemon=True).start()
    environment = os.environ | {
        "WANDB_BASE_URL": f"http://127.0.0.1:{http.server_port}", "WANDB_API_KEY": "0" * 40, "SEEN": "seen",
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}", "NETRC": "netrc",
    }
    agent = [sys.executable, "-m", "wandb", "agent", "tester/project/sweep1"]
    ended = subprocess.run(agent, env=environment, capture_output=True, text=True, timeout=300)
    http.shutdown()
print(ended.stderr[-2000:] if ended.returncode else "", end="")
run, resume = map(eval, open("seen"))
print("run    ", run)
print("resume ", resume)
words = ["--_wandb={'cli_version': '0.31.0'}", "--model={'width': 2, 'depth': None}", "--seed=1"]
sys.exit(run != ["--seed=1"] or sorted(resume) != words)
SERVER
"$folder/venv/bin/python" server.py
