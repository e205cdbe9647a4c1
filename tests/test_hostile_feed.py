"""A hostile feed and a folder with hostile file names, from `add` to every output.

They are listed, transcribed and looked at: in the terminal, in JSON, in every export format, and in the HTML
of every page.
"""

import csv
import fcntl
import html
import io
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import zipfile
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from command_line import CommandLine
from homescribe import Library, plugins
from web_server import TOKEN, serving

pytestmark = [pytest.mark.models, pytest.mark.slow]

# Without speakers there is nothing to write as RTTM.
FORMATS = [name for name in plugins.BUILT_IN["exporters"] if name != "rttm"]
# C0 without tab and newline, DEL, C1; line and paragraph separators; bidirectional controls; surrogates.
UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
ESCAPES = "&#27;]0;owned&#7;&#27;[2J&#155;31m\x1b[31m\x07\x00"
BIDI = "&#8238;gnp.exe&#8236;\u2067x"
LINES = "one&#10;two&#13;three&#8232;four&#133;five"
SCRIPT = "&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;"
TITLES = {
    "escapes": f"Escapes {ESCAPES} end",
    "bidi": f"Bidi {BIDI} end",
    "lines": f"Lines {LINES} end",
    "markup": f"Markup &lt;b&gt;{SCRIPT} {{{{ 7*7 }}}} [a](javascript:alert(1)) `x` end",
    "path": "../../../etc/cron.d/evil\\..\\con:aux|?*",
    "formula": "=cmd|'/C calc'!A0",
    "plus": "+1+cmd|'/C calc'!A0",
    "at": "@SUM(1+1)*cmd|'/C calc'!A0",
    "huge": "Huge " + "x" * 300_000,
}
FILE_NAMES = (
    "=HYPERLINK(1) \x1b[31m\x07 \u202egnp.mp3",
    "-rf \n .. <script>alert(1)<img src=x onerror=y>.mp3",
    "half \udc80 byte.mp3",
)


def feed(server):
    """A feed in which everything is hostile but the recordings."""
    links = (
        *("javascript:alert(1)", "data:text/html,&lt;script&gt;alert(1)&lt;/script&gt;"),
        *("file:///etc/passwd", "https://x.example/&#27;]0;owned&#7;?a=&quot;&gt;&lt;script&gt;"),
        *("//x.example/\u202etxt", "JaVaScRiPt&#9;:alert(1)", "https://x.example/a b\x00c"),
        *("vbscript:x", "https://x.example/" + "y" * 100_000),
    )
    entries = []
    for number, ((name, title), link) in enumerate(zip(TITLES.items(), links, strict=True)):
        entries.append(
            f"""<item><title>{title}</title><guid>{name}{ESCAPES}</guid><link>{link}</link>
            <pubDate>Mon, {number + 1:02} Jun 2026 06:00:00 +0000</pubDate>
            <itunes:duration>00:00:0{number % 5 + 4}</itunes:duration><itunes:author>{title}</itunes:author>
            <description>{title}{ESCAPES}{BIDI} &lt;a href="javascript:x"&gt;link&lt;/a&gt;</description>
            <psc:chapters><psc:chapter start="0:00" title="{title.replace('"', "")}"/>
            <psc:chapter start="0:02" title="{ESCAPES}{BIDI}{SCRIPT}"/></psc:chapters>
            <enclosure url="{server.base}/media/ep{number % 2 + 1}.mp3?ep={number}" type="audio/mpeg"/>
            </item>"""
        )
    return f"""<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"
    xmlns:psc="http://podlove.org/simple-chapters" xmlns:atom="http://www.w3.org/2005/Atom">
    <channel><title>Club {ESCAPES}{BIDI}{SCRIPT}{LINES}</title><language>en{ESCAPES}</language>
    <link>javascript:alert(1)</link><itunes:new-feed-url>javascript:alert(1)</itunes:new-feed-url>
    <atom:link rel="next" href="javascript:alert(1)"/>{"".join(entries)}</channel></rss>"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, clips):
    """The command line over a library in which all of it is transcribed, and what the commands printed."""
    from loopback import LoopbackServer

    folder = tmp_path_factory.mktemp("hostile")
    names = folder / "talks"
    names.mkdir()
    for number, name in enumerate(FILE_NAMES):
        content = (clips / f"ep{number % 2 + 1}.mp3").read_bytes() + bytes([number])
        (names / name).write_bytes(content)
        os.utime(names / name, (1, 1))
    command = CommandLine(folder, model="demo", sleep_interval=0)
    with LoopbackServer(clips) as server:
        body = feed(server).encode("utf-8", "replace")
        server.routes["/feed"] = lambda *_: (200, body, {"Content-Type": "text/xml"})
        printed = [command.run("add", server.url("/feed"), names)]
        printed.append(command.run("run"))
    assert [code for code, *_ in printed] == [0, 0], printed
    return command, [out + err for _, out, err in printed]


@pytest.fixture(scope="module")
def keys(hostile):
    with Library(hostile[0].library) as library:
        records = list(library.items())
    assert [record.state for record in records] == ["done"] * (len(TITLES) + len(FILE_NAMES))
    return [record.item.key for record in records]


def assert_clean(text, where):
    found = UNFIT.search(text)
    assert found is None, f"{where}: {text[max(0, found.start() - 40) : found.end() + 20]!r}"


# --- The terminal --------------------------------------------------------------------------------


def commands(keys):
    yield from (("list",), ("sources",), ("status",), ("search", "channel"), ("search", "end"))
    yield from (("show", key) for key in keys)
    yield from (
        ("plan",),
        ("doctor",),
        ("remove", keys[0]),
        ("retry",),
        ("show", "noth\x1b[31ming"),
    )


def test_no_command_prints_a_control_character(hostile, keys):
    command, printed = hostile
    for number, text in enumerate(printed):
        assert_clean(text, number)
    for arguments in commands(keys):
        _, out, err = command.run(*arguments)
        assert_clean(out + err, arguments)


def on_a_terminal(command, arguments, columns=80, rows=24):
    """What a command prints on a terminal of that size."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = command.environment | {"TERM": "xterm-256color"}
    with subprocess.Popen(
        [sys.executable, "-m", "homescribe", *arguments],
        env=environment,
        stdin=there,
        stdout=there,
        stderr=there,
        start_new_session=True,
    ) as process:
        os.close(there)
        output = b""
        while select.select([here], [], [], 120)[0]:
            try:
                chunk = os.read(here, 65536)
            except OSError:  # the process has ended
                break
            if not chunk:
                break
            output += chunk
        process.wait(60)
    os.close(here)
    return output.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    "arguments", [("list",), ("sources",), ("search", "channel"), ("search", "end"), ("status",)]
)
def test_a_terminal_gets_no_sequences_but_our_own_colours(hostile, arguments):
    shown = on_a_terminal(hostile[0], arguments)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert_clean(plain, arguments)
    plain = plain.replace(str(hostile[0].library), "LIBRARY")  # as long as the test's folder is
    for line in plain.splitlines():  # an address stays whole, so that it can be opened
        assert len(line) <= 80 or re.match(r" {11}\S+://\S+$", line), line
    if arguments == ("search", "end"):
        assert re.search(r"^ {4}about  \S", plain, re.MULTILINE)  # a hit in a title has no time
    if arguments == ("list",):
        assert len(plain.splitlines()) == 1 + len(TITLES) + len(FILE_NAMES)


def test_a_table_for_other_programs_has_a_row_for_each_item_and_no_formula(hostile, keys):
    """A spreadsheet takes a cell that begins with =, +, - or @ for a formula."""
    _, out, _ = hostile[0].run("list")
    rows = list(csv.reader(io.StringIO(out), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert out.splitlines() == out.removesuffix("\n").split("\n")  # also by Unicode's line ends
    assert [row[3] for row in rows] == keys
    assert {len(row) for row in rows} == {6}
    titles = {row[4] for row in rows}
    assert {"'=cmd|'/C calc'!A0", "'+1+cmd|'/C calc'!A0"} <= titles
    for row in rows:
        assert not [cell for cell in row if re.match(r"\s*[=+\-@]", cell)]


def test_json_has_the_titles_and_no_control_character(hostile, keys):
    command, _ = hostile
    _, out, _ = command.run("list", "--json")
    assert_clean(out, "list")
    items = {item["key"]: item for item in json.loads(out)}
    assert list(items) == keys
    assert "=cmd|'/C calc'!A0" in {item["title"] for item in items.values()}
    assert max(len(item["title"]) for item in items.values()) <= 500
    for arguments in (
        ("sources",),
        ("search", "channel"),
        ("status",),
        *(("show", k) for k in keys),
    ):
        _, out, _ = command.run(*arguments, "--json")
        assert_clean(out, arguments)
        for address in addresses_in(json.loads(out)):
            assert re.match(r"(https?://|/|file:///)", address), address


def addresses_in(value):
    """Every value of a field `url` in JSON."""
    if isinstance(value, dict):
        yield from (value["url"] for _ in [0] if isinstance(value.get("url"), str))
        for inner in value.values():
            yield from addresses_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from addresses_in(inner)


# --- Exports -------------------------------------------------------------------------------------


def test_files_stay_in_their_folder_and_have_no_control_characters(hostile, keys, tmp_path):
    out = tmp_path / "a" / "b"
    code, _, err = hostile[0].run("export", "-f", ",".join(FORMATS), "-o", out)
    assert code == 0, err
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent for path in written} == {out}
    assert len(written) == len(keys) * len(FORMATS)
    for path in written:
        assert_clean(path.name, "name")
        assert not re.search(r'[\\/:*?"<>|]', path.name)
        assert len(os.fsencode(path.name)) <= 143
        if path.suffix == ".docx":
            text = zipfile.ZipFile(path).read("word/document.xml").decode("utf-8")
        else:
            text = path.read_text(encoding="utf-8")
        assert len(text) < 100_000
        # Spoken text may have anything that a script needs; a title comes into json and md alone.
        assert_clean(re.sub("[\u2028\u2029\u202a-\u202e\u2066-\u2069]", "", text), path.name)
        if path.suffix == ".md":
            assert not re.search(
                r"<(script|img|a|b)\b|(?<!\\)\]\((?!https?://|file://)", text, re.IGNORECASE
            )
        if path.suffix == ".json":
            assert_clean(text, path.name)


# --- Pages ---------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Collects the tags and attributes of a page, and its text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def assert_harmless(text, path):
    """No markup, link, script or control character of a stranger is in the page."""
    assert_clean(html.unescape(text), path)
    page = Page(text)
    for tag, attributes in page.tags:
        where = (path, tag, attributes)
        assert tag not in ("img", "iframe", "object", "embed", "base", "meta http-equiv"), where
        assert not [name for name in attributes if name.startswith("on") or name == "style"], where
        assert tag != "script" or attributes["src"].startswith("/static/"), where
        for name in ("href", "src", "action", "formaction", "poster", "data"):
            if attributes.get(name):
                assert re.match(r"(https?://|/(?!/)|#)", attributes[name]), where
    return page


def test_no_page_has_anything_of_a_stranger_but_text(hostile, keys):
    with (
        serving(hostile[0].library) as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        paths = ["/", "/?q=channel", "/?q=end", "/results?q=channel", "/library", "/queue"]
        paths += ["/queue/lists", "/statistics", "/library?state=done&sort=title", "/nothing"]
        paths += [f"/items/{key}" for key in keys]
        for path in paths:
            answer = client.get(path)
            assert "script-src 'self'" in answer.headers["content-security-policy"]
            assert len(answer.text) < 400_000
            assert_harmless(answer.text, path)
        # Links that the pages make from channels lead back to pages.
        channels = re.findall(r'href="(/library\?channel=Club[^"]*)"', client.get("/").text)
        channel = channels[0]
        found = client.get(html.unescape(channel))
        assert f"{len(TITLES)} items" in assert_harmless(found.text, channel).text
        for path in ("items", "sources", "status", "queue", "search?q=channel"):
            assert_clean(client.get(f"/api/{path}").text, path)


def test_downloads_have_safe_names_and_types(hostile, keys):
    with (
        serving(hostile[0].library) as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        for key in keys:
            for name in FORMATS:
                answer = client.get(f"/export/{name}/{key}")
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert "html" not in answer.headers["content-type"]
                disposition = answer.headers["content-disposition"]
                assert disposition.startswith("attachment; ")
                file = unquote(disposition.rpartition("''")[2])
                assert_clean(file, key)
                assert not re.search(r"[\\/]", file)
        archive = zipfile.ZipFile(io.BytesIO(client.get("/export/md.zip").content))
        assert len(set(archive.namelist())) == len(keys)
        for file in archive.namelist():
            assert_clean(file, "zip")
            assert not re.search(r"(^|/)\.\.|[\\/:]", file)


def test_the_page_lists_a_hostile_feed(hostile, tmp_path, clips, server):
    """What the page says about a listing, and the choice that follows."""
    body = feed(server).encode("utf-8", "replace")
    server.routes["/feed"] = lambda *_: (200, body, {"Content-Type": "text/xml"})
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with (
        serving(tmp_path) as address,
        httpx.Client(base_url=address, timeout=60, headers=headers) as client,
    ):
        url = server.url("/feed#\x1b]0;owned\x07<script>")
        client.post("/api/queue", json={"action": "add", "url": url})
        while not (now := client.get("/api/queue").json())["listing"]["finished"]:
            pass
        assert now["plan"]["items"] == len(TITLES)
        text = json.dumps(now, ensure_ascii=False)
        assert_clean(text, "snapshot")
        assert_harmless(client.get("/queue").text, "/queue")
        assert urlsplit(now["listing"]["sources"][0]["url"]).scheme == "http"
