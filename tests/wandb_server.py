"""A stand-in for wandb's server on this machine: one sweep, whose trials it is told beforehand.

It answers what `wandb sweep`, `wandb agent` and the runs of 0.31 ask, and keeps what they tell.
"""

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = {"id": "entity", "name": "me"}
PROJECT = {"id": "project", "name": "jmarl", "entity": ENTITY}
AGENT = {"agent": {"id": "agent"}}
SWEEP = {"id": "sweep", "name": "swept", "state": "RUNNING", "runs": {"edges": []}}
Answer = Mapping[str, Any]


class Server:
    """What it was told, and its answers by the field that a query asks for."""

    def __init__(self, trials: Sequence[Mapping[str, Any]]) -> None:
        self.left = [(f"trial{nth}", trial) for nth, trial in enumerate(trials)]
        self.sweep = ""  # the file as `wandb sweep` sent it
        self.runs: dict[str, dict[str, Any]] = {}  # what they opened with, by id
        self.history: dict[str, list[Any]] = {}  # their records
        self.files: dict[str, bytes] = {}  # uploads, by run/name
        self.url = ""
        self.answers: dict[str, Callable[[Answer], Any]] = {
            "viewer": lambda _: {**ENTITY, "entity": "me", "username": "me", "flags": "{}"},
            "upsertSweep": self.create,
            "sweep": lambda _: {"sweep": {**SWEEP, "config": self.sweep}},
            "createAgent": lambda _: AGENT,
            "agentHeartbeat": self.beat,
            "bucket": lambda _: {**PROJECT, "bucket": None},  # no run is resumed
            "upsertBucket": self.open,
            "createRunFiles": self.places,
        }

    def create(self, given: Answer) -> Answer:
        self.sweep = given["config"]
        return {"sweep": {"name": "swept", "project": PROJECT}, "configValidationWarnings": []}

    def beat(self, given: Answer) -> Answer:
        """Nothing while a trial runs; then the next one, or the end."""
        return {**AGENT, "commands": json.dumps(self.commands(json.loads(given["runState"])))}

    def commands(self, running: Answer) -> list[Answer]:
        if running:
            return []
        if not self.left:
            return [{"type": "exit"}]
        name, trial = self.left.pop(0)
        args = {parameter: {"value": value} for parameter, value in trial.items()}
        return [{"type": "run", "run_id": name, "program": "jmarl", "args": args}]

    def open(self, given: Answer) -> Answer:
        name = given["name"]
        self.runs.setdefault(name, {}).update({k: v for k, v in given.items() if v is not None})
        known = {"id": name, "name": name, "sweepName": given.get("sweep"), "project": PROJECT}
        return {"bucket": {**known, "historyLineCount": 0}, "inserted": True}

    def places(self, given: Answer) -> Answer:
        place = lambda name: f"{self.url}/uploads/{given['run']}/{name}"
        files = [{"name": name, "uploadUrl": place(name)} for name in given["files"]]
        return {"runID": given["run"], "uploadHeaders": [], "files": files}

    def reply(self, path: str, body: bytes) -> Answer:
        """To a request of any kind."""
        if path == "/graphql":
            asked = json.loads(body)
            found = re.search(rf"\b({'|'.join(self.answers)})\s*[({{]", asked["query"])
            if found is None:
                return {"errors": [{"message": "this stand-in does not know"}]}
            answer = self.answers[found[1]](asked.get("variables") or {})
            root = {"sweep": "project", "bucket": "model"}.get(found[1], found[1])
            return {"data": {root: answer}}
        if path.startswith("/uploads/"):
            self.files[path.removeprefix("/uploads/")] = body
        elif path.endswith("/file_stream"):
            told = json.loads(body).get("files", {}).get("wandb-history.jsonl", {})
            records = self.history.setdefault(path.split("/")[-2], [])
            records += [json.loads(line) for line in told.get("content", [])]
        return {}


@contextmanager
def serving(trials: Sequence[Mapping[str, Any]]) -> Iterator[Server]:
    """It answers meanwhile, at its `url`."""
    server = Server(trials)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            text = json.dumps(server.reply(self.path, body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        threading.Thread(target=http.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            http.shutdown()
