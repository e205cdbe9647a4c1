"""A stand-in for a transcription service: decodes what is sent, and answers as a test wants it.

Each request is recorded. A reply of `plan` is used for one request; after them the answer is right: a segment
for each five seconds that were sent, whose text names the second at which it begins.
"""

import http.server
import json
import threading
import time
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message

import numpy as np

from homescribe.audio import SAMPLE_RATE, decode

STEP = 5.0  # seconds of a segment


@dataclass
class Sent:
    """A request."""

    path: str
    headers: Message
    fields: dict
    content: bytes
    name: str
    at: float = field(default_factory=time.monotonic)

    @property
    def samples(self):
        return decode(self.content)

    @property
    def seconds(self):
        return len(self.samples) / SAMPLE_RATE


def verbose(sent, **changes):
    """OpenAI's verbose_json for a request."""
    seconds = sent.seconds
    segments = [
        {
            "id": n,
            "start": start,
            "end": min(start + STEP, seconds),
            "text": f" At {start:.0f} seconds.",
        }
        for n, start in enumerate(np.arange(0.0, seconds, STEP).tolist())
    ]
    answer = {
        "task": "transcribe",
        "language": "english",
        "duration": seconds,
        "text": "".join(each["text"] for each in segments).strip(),
        "segments": segments,
    }
    return {**answer, **changes}


def error(status, message, code=None, param=None, **headers):
    """A reply with an error in OpenAI's form."""
    content = {"error": {"message": message, "type": "some_error", "code": code, "param": param}}
    return lambda sent: (status, {"Content-Type": "application/json", **headers}, content)


def answer(**changes):
    """A reply whose verbose_json has other values."""
    return lambda sent: (200, {}, verbose(sent, **changes))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Print nothing."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sent = parsed(self.path, self.headers, body)
        owner = self.server.owner
        with owner.lock:
            owner.requests.append(sent)
            reply = owner.plan.pop(0) if owner.plan else owner.default
            owner.running += 1
            owner.most_running = max(owner.most_running, owner.running)
        try:
            time.sleep(owner.delay)
            result = reply(sent) if callable(reply) else reply
            if result == "hang up":
                self.close_connection = True
                self.connection.close()
                return
            status, headers, content = result
            self.respond(status, headers, content)
        finally:
            with owner.lock:
                owner.running -= 1

    def respond(self, status, headers, content):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        drip = self.server.owner.drip
        step = 1 if drip else len(body) or 1
        for at in range(0, len(body), step):
            self.wfile.write(body[at : at + step])
            if drip:
                self.wfile.flush()
                time.sleep(drip)
        if int(headers["Content-Length"]) > len(body):  # half an answer
            self.close_connection = True


def parsed(path, headers, body):
    """The form of a request."""
    boundary = headers.get_param("boundary", header="content-type").encode()
    fields, content, name = {}, b"", ""
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, value = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        about = message_from_bytes(head)
        named = about.get_param("name", header="content-disposition")
        if named == "file":
            content, name = value, about.get_filename()
        else:
            fields.setdefault(named, []).append(value.decode())
    return Sent(path, headers, fields, content, name)


class EndpointServer:
    """Serves until the end of the `with` block."""

    class _Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            """Ignore clients that close the connection: tests do that."""

    def __init__(self):
        self.requests = []
        self.plan = []
        self.default = answer()
        self.delay = 0.0  # seconds before each reply
        self.drip = 0.0  # seconds between two bytes of a reply
        self.running = self.most_running = 0
        self.lock = threading.Lock()
        self._server = self._Server(("127.0.0.1", 0), Handler)
        self._server.owner = self
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self):
        serve = self._server.serve_forever
        threading.Thread(target=serve, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
