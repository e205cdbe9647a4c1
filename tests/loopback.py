"""A web server on the loopback: media with Range requests, feeds, pages, and failures on request.

    with LoopbackServer(folder) as server:
        server.url("/media/ep1.mp3"); server.log  # [(method, path, Range header, status)]

/media/NAME serves a file of `folder`. Parameters in its query change the response:
    die_after=N   cut the connection after N bytes (the first `times` requests, 1 by default)
    fail=STATUS   respond with that status (the first `times` requests, always by default)
    bps=N         send N bytes a second
    norange=1     no partial content
    etag=X        an ETag; "content": a hash of the file's content
    weak=1        the ETag is weak
    modified=file Last-Modified of the file; "now": the present second
    ignore_if_range=1  partial content whatever If-Range says; otherwise it is compared
    bare206=1     no ETag and Last-Modified with partial content
    chunked=1     no Content-Length
    icy=1         a header of Icecast
    ctype=X       another content type
/captions responds with captions of the `words` in its query, spoken in `seconds`: `fmt` json3, vtt or srt,
automatic with kind=asr; `fail` and `times` as above, empty=1 for an empty body.
/status/CODE responds with that status, /redirect?to=URL redirects, /stall never responds. `routes` maps
further paths to functions of (server, query, headers) that return (status, body, headers). `if_range` lists
the If-Range header of each request for media.
"""

from __future__ import annotations

import email.utils
import hashlib
import http.server
import json
import mimetypes
import re
import socket
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import caption_samples

for kind, extension in [
    ("audio/mp4", ".m4a"),
    ("audio/webm", ".webm"),
    ("audio/mpeg", ".mp3"),
    ("audio/ogg", ".opus"),
]:
    mimetypes.add_type(kind, extension)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    @property
    def owner(self):
        return self.server.owner

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if route := self.owner.routes.get(parts.path):
            self._send(*route(self.owner, query, self.headers))
        elif match := re.fullmatch(r"/status/(\d+)", parts.path):
            headers = {"Retry-After": "120"} if match[1] in ("429", "503") else {}
            self._send(int(match[1]), "nope", headers)
        elif parts.path == "/redirect":
            self._send(302, "", {"Location": query["to"]})
        elif parts.path == "/stall":
            self.owner.log.append((self.command, self.path, None, 0))
            self.owner.stopped.wait(60)
            self.close_connection = True
        elif parts.path == "/captions":
            self._captions(query)
        elif parts.path.startswith("/media/"):
            self._media(self.owner.root / parts.path.removeprefix("/media/"), query)
        else:
            self._send(404, "not found")

    def _send(self, status, body=b"", headers=None):
        body = body.encode() if isinstance(body, str) else body
        self.owner.log.append((self.command, self.path, self.headers.get("Range"), status))
        self.send_response(status)
        headers = {"Content-Type": "text/html; charset=utf-8", **(headers or {})}
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(body)

    def _captions(self, query):
        if "fail" in query and self._fails("fail", query, default_times=1_000_000):
            self._send(int(query["fail"]), "nope")
            return
        words, seconds = query["words"].split(), float(query["seconds"])
        automatic = query.get("kind") == "asr"
        if query["fmt"] == "json3":
            body = caption_samples.json3(words, seconds, automatic=automatic)
        elif query["fmt"] == "vtt" and automatic:
            body = caption_samples.rolling_vtt(words, seconds)
        else:
            body = caption_samples.srt(words, seconds)
        self._send(200, "" if "empty" in query else body, {"Content-Type": "text/plain"})

    def _media(self, path, query):
        if not path.is_file():
            self._send(404, "not found")
            return
        if "fail" in query and self._fails("fail", query, default_times=1_000_000):
            self._send(int(query["fail"]), "nope")
            return
        data = path.read_bytes()
        validators = self._validators(query, path, data)
        status, start, end = self._range(query, len(data), validators)
        if status == 416:
            self._send(416, "", {"Content-Range": f"bytes */{len(data)}"})
            return
        self.owner.log.append((self.command, self.path, self.headers.get("Range"), status))
        self.send_response(status)
        kind = query.get("ctype") or mimetypes.guess_type(path.name)[0]
        self.send_header("Content-Type", kind or "application/octet-stream")
        if "icy" in query:
            self.send_header("icy-name", "Radio")
        if "chunked" in query:
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(end - start))
        for name, value in validators.items():
            if status != 206 or "bare206" not in query:
                self.send_header(name, value)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.end_headers()
        if self.command != "HEAD":
            self._body(data[start:end], query)

    def _validators(self, query, path, data):
        """The headers ETag and Last-Modified, as the query says."""
        found = {}
        if "etag" in query:
            digest = hashlib.sha256(data).hexdigest()
            value = digest if query["etag"] == "content" else query["etag"]
            found["ETag"] = ("W/" if "weak" in query else "") + f'"{value}"'
        if "modified" in query:
            changed = path.stat().st_mtime if query["modified"] == "file" else time.time()
            found["Last-Modified"] = email.utils.formatdate(changed, usegmt=True)
        return found

    def _range(self, query, size, validators):
        """(status, start, end) of what is requested and allowed."""
        requested = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        condition = self.headers.get("If-Range")
        self.owner.if_range.append(condition)
        stale = condition is not None and condition not in validators.values()
        if "ignore_if_range" in query:
            stale = False
        if not requested or stale or query.get("norange") == "1":
            return 200, 0, size
        start = int(requested[1])
        end = min(int(requested[2]) + 1 if requested[2] else size, size)
        return (206, start, end) if start < size else (416, 0, 0)

    def _body(self, data, query):
        if "die_after" in query and self._fails("die", query, default_times=1):
            self.wfile.write(data[: int(query["die_after"])])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        step = max(1, int(query["bps"]) // 20) if "bps" in query else len(data) or 1
        for begin in range(0, len(data), step):
            try:
                self.wfile.write(data[begin : begin + step])
                self.wfile.flush()
            except OSError:
                self.owner.log.append(("CLIENT-GONE", self.path, None, begin))
                self.close_connection = True
                return
            if "bps" in query:
                time.sleep(1 / 20)

    def _fails(self, what, query, default_times):
        """Whether this path still has a failure to come."""
        with self.owner.lock:
            done = self.owner.counters.get((what, self.path), 0)
            self.owner.counters[what, self.path] = done + 1
        return done < int(query.get("times", default_times))


def rss(server, episodes=25, *, guid=True):
    """A podcast with the usual iTunes and Podcasting 2.0 elements."""
    items = []
    for number in range(episodes, 0, -1):
        name = "ep1.mp3" if number % 2 else "ep2.mp3"
        items.append(
            f"""<item><title>Episode {number}: testing &amp; more</title>
            <link>{server.base}/episodes/{number}</link>
            {f'<guid isPermaLink="false">pod-guid-{number:04d}</guid>' if guid else ""}
            <pubDate>Mon, {number % 28 + 1:02d} Jun 2026 06:00:00 +0000</pubDate>
            <description>&lt;p&gt;Notes for &lt;b&gt;{number}&lt;/b&gt;&lt;/p&gt;</description>
            <itunes:duration>00:00:07</itunes:duration><itunes:episode>{number}</itunes:episode>
            <podcast:transcript url="{server.base}/media/ep{number}.vtt" type="text/vtt"/>
            <enclosure url="{server.base}/media/{name}?ep={number}" length="54237" type="audio/mpeg"/>
            </item>"""
        )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
    <rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"
    xmlns:podcast="https://podcastindex.org/namespace/1.0">
    <channel><title>Loopback Podcast</title><description>A test feed</description>
    <language>en-us</language><itunes:author>Test Author</itunes:author>{"".join(items)}</channel></rss>"""


def atom(server):
    return f"""<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Atom cast</title>
    <entry><title>A1</title><id>a1</id><updated>2026-05-04T10:00:00Z</updated>
    <link rel="enclosure" type="audio/mpeg" href="{server.base}/media/ep1.mp3"/></entry></feed>"""


def page(title, body, head=""):
    return (
        f"<!doctype html><html><head><title>{title}</title>{head}</head>"
        f"<body><h1>{title}</h1>{body}</body></html>"
    )


def _feed_route(server, query, _):
    body = rss(server, int(query.get("n", 25)), guid=query.get("guid", "1") == "1")
    return 200, body, {"Content-Type": "application/rss+xml"}


def _page_route(make):
    return lambda server, _query, _headers: (200, make(server), {})


ROUTES = {
    "/feed.xml": _feed_route,
    "/atom.xml": lambda server, *_: (200, atom(server), {"Content-Type": "application/atom+xml"}),
    "/audio.html": _page_route(
        lambda server: page(
            "Audio page", f'<audio controls src="{server.base}/media/ep1.mp3"></audio>'
        )
    ),
    "/two.html": _page_route(
        lambda server: page(
            "Two audios",
            "".join(
                f'<audio src="{server.base}/media/{name}.mp3"></audio>' for name in ("ep1", "ep2")
            ),
        )
    ),
    "/jsonld.html": _page_route(
        lambda server: page(
            "A page",
            "",
            '<script type="application/ld+json">'
            + json.dumps(
                {
                    "@context": "https://schema.org",
                    "@type": "VideoObject",
                    "name": "Title from the page",
                    "description": "Described there",
                    "uploadDate": "2026-05-04T10:00:00Z",
                    "duration": "PT7S",
                    "contentUrl": server.base + "/media/ep1.m4a",
                }
            )
            + "</script>",
        )
    ),
    "/plain.html": _page_route(lambda _: page("Nothing here", "<p>no media</p>")),
}


class LoopbackServer:
    """Serves until the end of the `with` block; `port` 0 takes a free one."""

    class _Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            """Ignore clients that close the connection: tests do that."""

    def __init__(self, root, port=0):
        self.root = Path(root)
        self.log = []
        self.if_range = []
        self.counters = {}
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.routes = dict(ROUTES)
        self._server = self._Server(("127.0.0.1", port), Handler)
        self._server.owner = self
        self.base = f"http://127.0.0.1:{self._server.server_port}"

    def url(self, path):
        return self.base + path

    def __enter__(self):
        serve = self._server.serve_forever
        threading.Thread(target=serve, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
