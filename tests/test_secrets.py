"""Secrets stay in: planted in addresses, cookies, tokens and settings, looked for in all that comes out.

Each secret contains CANARY, so that one search finds them all.
"""

import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from contextlib import closing
from dataclasses import replace

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fake_plugins import transcript
from homescribe import Item, Library, link
from homescribe.core import Listing, SourceOptions, TranscriptLink
from homescribe.sources.podcast import PodcastSource
from homescribe.text.redaction import (
    shown_address,
    shown_feed,
    shown_item,
    shown_page,
    shown_text,
)
from homescribe.text.sanitize import public_url
from web_server import TOKEN, serving

CANARY = "CANARY"
FEED_PATH = "/private/CANARYinPATH/feed.xml"
FEED_QUERY = "auth=CANARYinQUERY&show=1"
LINK = "https://user:CANARYpassword@pod.example/talk?token=CANARYinLINK"
HOSTILE_LINK = f"{LINK}#\x1b]0;owned\x07"


def feed(server):
    """A private feed: an episode that can be fetched, one that is gone, one whose page has secrets."""
    media = f"{server.base}/media/ep1.mp3?token=CANARYinENCLOSURE"
    gone = f"{server.base}/private/CANARYinENCLOSUREPATH/gone.mp3?Signature=CANARYinSIGNATURE"
    return f"""<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel><title>Club</title>
    <item><title>Open</title><guid>g1</guid><enclosure url="{media}" type="audio/mpeg"/></item>
    <item><title>Gone</title><guid>g2</guid><enclosure url="{gone}&amp;x=1" type="audio/mpeg"/></item>
    <item><title>Paged</title><guid>g3</guid><link>{LINK}</link>
      <enclosure url="{media}&amp;ep=3" type="audio/mpeg"/></item>
    </channel></rss>"""


@pytest.fixture
def club(server):
    """The address of the private feed."""
    server.routes[FEED_PATH] = lambda *_: (200, feed(server), {"Content-Type": "text/xml"})
    return server.url(f"{FEED_PATH}?{FEED_QUERY}")


@pytest.fixture
def environment(tmp_path):
    """The environment of a user with secrets in it, and in a cookie file."""
    cookies = tmp_path / "cookies.txt"
    cookies.write_text(
        "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tCANARYcookie\n"
    )
    return os.environ | {
        "HOMESCRIBE_TOKEN": "CANARYtoken",
        "MODAL_TOKEN_SECRET": "CANARYmodal",
        "HF_TOKEN": "CANARYhub",
        "HOMESCRIBE_COOKIES": str(cookies),
        "HOMESCRIBE_CONFIG": str(tmp_path / "config.toml"),
        "HOMESCRIBE_MODEL": "demo",
        "HOMESCRIBE_SLEEP_INTERVAL": "0",
    }


@pytest.fixture
def homescribe(tmp_path, environment):
    """Run a command; returns what it printed. No canary may be in it."""

    def run(*arguments, status=0, stdin=""):
        command = [sys.executable, "-m", "homescribe", "--library", str(tmp_path / "library")]
        done = subprocess.run(
            [*command, *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert CANARY not in said, arguments
        assert "Traceback" not in said
        assert status in (None, done.returncode), said
        return done.stdout

    return run


def save_transcripts(library):
    """Give every item a transcript."""
    with Library(library) as opened:
        for record in list(opened.items()):
            opened.save(record.item, transcript("the secret club meets"))


# --- The canary ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_no_command_prints_a_secret(tmp_path, homescribe, club, server):
    homescribe("add", club)
    homescribe("add", "-", stdin=f"{club}\n")
    homescribe("run", status=None)
    homescribe("sync", status=None)
    [source] = json.loads(homescribe("sources", "--json"))
    assert source["url"].startswith(server.base)
    listed = json.loads(homescribe("list", "--json"))
    assert {item["title"] for item in listed} == {"Open", "Gone", "Paged"}
    assert any(item["error"] for item in listed)
    for item in listed:
        homescribe("show", item["key"])
    save_transcripts(tmp_path / "library")
    for arguments in (
        ["list"],
        ["sources"],
        ["status"],
        ["status", "--json"],
        ["search", "secret"],
        ["search", "--json", "secret"],
        ["config"],
        ["config", "--json"],
        ["doctor"],
        ["plan"],
        ["plan", "--json"],
    ):
        homescribe(*arguments, status=None)
    for item in listed:
        homescribe("show", item["key"])
    exports = tmp_path / "exports"
    homescribe("export", "-o", str(exports), "-f", "json,md,txt,srt,vtt,lrc")
    files = list(exports.iterdir())
    assert len(files) == 18
    for path in files:
        assert CANARY not in path.name
        assert CANARY not in path.read_text(), path.name
    exported = [json.loads(path.read_text())["homescribe"] for path in exports.glob("*.json")]
    assert {one["channel_id"] for one in exported} == {source["url"]}


@pytest.mark.slow
def test_errors_name_no_secret(homescribe, server):
    for path in ("/status/404", "/status/500", "/status/403", "/plain.html", "/stall-not"):
        homescribe("add", server.url(f"{path}?auth={CANARY}"), status=2)
    homescribe("add", f"http://user:{CANARY}@127.0.0.1:1/feed.xml", status=2)
    homescribe("add", f"http://127.0.0.1:1/feed.xml?auth={CANARY}", status=2)
    homescribe("add", f"http://[{CANARY}/feed.xml?auth={CANARY}", status=2)
    homescribe("add", f"nothing://user:{CANARY}@x.example/?auth={CANARY}", status=2)
    homescribe("add", server.url(f"/redirect?to=http://u:{CANARY}@127.0.0.1:1/x.mp3"), status=2)
    homescribe("remove", f"https://user:{CANARY}@x.example/?auth={CANARY}", "--yes", status=2)


def test_no_page_and_no_file_name_has_a_secret(tmp_path, club):
    library = tmp_path / "library"
    with (
        serving(library) as address,
        httpx.Client(
            base_url=address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
        ) as client,
    ):

        def get(path):
            answer = client.get(path)
            content = answer.content
            if path.endswith(".zip"):
                (tmp_path / "all.zip").write_bytes(content)
                with zipfile.ZipFile(tmp_path / "all.zip") as archive:
                    content = b"".join(archive.read(name) for name in archive.namelist())
            assert CANARY.encode() not in content, path
            assert CANARY not in str(answer.headers)
            assert answer.status_code == 200
            return answer

        def act(**body):
            answer = client.post("/api/queue", json=body)
            assert CANARY not in answer.text
            return answer

        act(action="add", url=club)
        while not get("/api/queue").json()["listing"]["finished"]:
            pass
        assert get("/api/queue").json()["plan"]["items"] == 3
        act(action="keep")
        save_transcripts(library)
        with Library(library) as opened:
            keys = [record.item.key for record in opened.items()]
            opened.retry(keys)
        for path in ("/", "/library", "/queue", "/queue/lists", "/statistics", "/?q=secret"):
            get(path)
        for path in ("items", "sources", "status", "queue", "search?q=secret"):
            get(f"/api/{path}")
        for key in keys:
            get(f"/items/{key}")
            get(f"/api/items/{key}")
            for name in ("json", "md", "txt"):
                get(f"/export/{name}/{key}")
        for name in ("json", "md"):
            get(f"/export/{name}.zip")
        act(action="add", url=f"http://user:{CANARY}@127.0.0.1:1/feed.xml?auth={CANARY}")
        while not get("/api/queue").json()["listing"]["finished"]:
            pass
        assert get("/api/queue").json()["listing"]["error"]
        get("/queue")
    assert not [path for path in library.rglob("*") if CANARY in path.name]


SERVE_WITH_BUGS = """
import asyncio, logging, sys, threading, warnings
from homescribe.cli import main
from homescribe.web import api, jobs, pages
ADDRESS = 'https://u:CANARYa@x.example/?token=CANARYb \\x1b]0;owned\\x07'
def fail(*_, **__):
    raise RuntimeError(f'url: /rss?auth=CANARYc at {ADDRESS}')
async def fail_later():
    fail()
async def fail_in_the_loop(request):
    asyncio.get_running_loop().create_task(fail_later())
    asyncio.get_running_loop().call_soon(fail)
    threading.Thread(target=fail).start()
    logging.getLogger('urllib3').warning('Retrying %s', ADDRESS)
    warnings.warn(f'about {ADDRESS}')
    return await api.act(request)
pages.library = fail
api.ROUTES.append(api.Route('/api/bugs', fail_in_the_loop, methods=['POST']))
jobs.sync = fail
main.main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--host", "0.0.0.0"]])
def test_a_server_prints_no_secret(tmp_path, environment, club, options):
    """Its own address, errors of requests, of jobs and of the event loop, log lines and warnings."""
    library = tmp_path / "library"
    library.mkdir()
    command = [sys.executable, "-c", SERVE_WITH_BUGS, "--library", str(library), "serve"]
    with subprocess.Popen(
        [*command, "--no-open", "--port", "0", *options],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        printed = [process.stderr.readline()]
        base = f"http://127.0.0.1:{re.search(r':([0-9]+)/', printed[0])[1]}"
        authorized = {"Authorization": "Bearer CANARYtoken", "Connection": "close"}
        try:
            with httpx.Client(base_url=base, headers=authorized, timeout=30) as client:

                def listed(**body):
                    answers = [client.post("/api/queue", json=body)]
                    while not client.get("/api/queue").json()["listing"]["finished"]:
                        pass
                    answers.append(client.get("/api/queue"))
                    assert CANARY not in "".join(answer.text for answer in answers)
                    return answers[-1].json()

                assert listed(action="add", url=club)["plan"]["items"] == 3
                assert "RuntimeError" in listed(action="sync")["listing"]["error"]["message"]
                answers = [client.get("/library"), client.post("/api/bugs", json={})]
                assert [answer.status_code for answer in answers] == [500, 400]
                answers.append(client.get("/items/x?token=CANARYquery"))
                assert CANARY not in "".join(answer.text for answer in answers)
                if options:
                    answer = httpx.get(f"{base}/?token=CANARYwrong")
                    assert (answer.status_code, CANARY in answer.text) == (401, False)
        finally:
            process.terminate()
            out, err = process.communicate(timeout=60)
    printed = "".join([*printed, err])
    assert out == ""
    # Each bug is there, once or more, without the secrets. Python prints its own source lines.
    source = {line.strip() for line in SERVE_WITH_BUGS.split("\n") if CANARY in line}
    lines = [line for line in printed.split("\n") if line.strip() not in source]
    assert [line for line in lines if CANARY in line or "\x1b" in line or "\x07" in line] == []
    assert sum(line.startswith("RuntimeError: url: /rss?auth=~") for line in lines) >= 5
    assert "WARNING: Retrying https://x.example/?token=~" in printed
    assert "UserWarning: about https://x.example/?token=~" in printed


def test_no_traceback_and_no_log_line_has_a_secret(tmp_path):
    code = (
        "import sys; from homescribe.cli import main; from homescribe.cli.commands import query\n"
        "def fail(*_, **__):\n"
        "    raise RuntimeError('url: /rss?auth=CANARY1 at https://u:CANARY2@x.example/?token=CANARY3')\n"
        "query.open_library = fail\n"
        "main.main(['list'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "RuntimeError: url: /rss?auth=~" in done.stderr
    assert CANARY not in done.stderr.split("RuntimeError")[-1]


# --- Addresses as they are shown --------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    [
        "https://www.patreon.com/rss/creator?auth=S&show=1",
        "https://api.substack.com/feed/podcast/1234/private/0f8fad5b-d9cb-469f-a165-70867728950e.rss",
        "https://feeds.example/feeds/V1StGXR8Z5jdHi6BmyTq",
        "https://feeds.example/private/S/rss",
        "https://feeds.example/rss;token=S",
        "https://feeds.example/rss?V1StGXR8Z5jdHi6BmyTq",
        "https://cdn.example/e1.mp3?Expires=1&Signature=S&Key-Pair-Id=S",
        "https://cdn.example/e1.mp3?anything=S",
        "https://u:S@cdn.example/e1.mp3",
    ],
)
def test_a_private_address_has_a_mark_for_each_secret(secret):
    shown = shown_address(secret)
    for part in ("=S", "/S/", ":S@", "V1St", "0f8fad5b"):
        assert part not in shown
    assert shown_address(shown) == shown
    assert shown_address(secret) == shown  # the same each time


@pytest.mark.parametrize(
    "public",
    [
        "https://feeds.simplecast.com/54nAGcIl",
        "https://feeds.megaphone.fm/VMP5705694065",
        "https://blog.example/?feed=podcast",
        "https://blog.example/?p=1234",
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "https://www.youtube.com/channel/UCabcdefgh1234567890ABcd",
        "https://www.youtube.com/playlist?list=PLabc123DEF456ghi789",
        "https://x.example/2026-03-01-episode-12-the-iPhone15Pro-Max-review.mp3",
        "https://x.example/the-secret-history/",
        "/home/me/private/V1StGXR8Z5jdHi6BmyTq.mp3",
        "file:///home/me/private/V1StGXR8Z5jdHi6BmyTq.mp3",
    ],
)
def test_a_public_address_is_shown_as_it_is(public):
    assert shown_address(public) == shown_page(public) == public


@pytest.mark.parametrize(
    ("feed", "secret"),
    [
        ("https://x.example/rss/8f3kq9zt2m1x/feed.xml", "8f3kq9zt2m1x"),
        ("https://x.example/rss/xkqzjvbwpmtrhgdnfsclyq", "xkqzjvbwpmtrhgdnfsclyq"),
        ("https://x.example/rss/XKQZJVBWPMTRHG.xml", "XKQZJVBWPMTRHG"),
        ("https://x.example/rss?id=8f3kq9zt2m1x", "8f3kq9zt2m1x"),
        ("https://x.example/rss?8f3kq9zt2m1x=1", "8f3kq9zt2m1x"),
        ("https://x.example/rss?8f3kq9zt", "8f3kq9zt"),
        ("https://x.example/my-show-8f3kq9zt/rss", "8f3kq9zt"),
        ("https://x.example/u/8492013374651/feed", "8492013374651"),
        ("https://x.example/u/aBcDeFgH/feed", "aBcDeFgH"),
        ("https://x.example/u/54nAGcIl/feed", "54nAGcIl"),
    ],
)
def test_the_address_of_a_feed_is_shown_without_what_may_be_a_token(feed, secret):
    shown = shown_feed(feed)
    assert secret not in shown
    assert shown.startswith("https://x.example/")
    assert "~" in shown
    assert shown_feed(shown) == shown == shown_feed(feed)
    assert secret not in shown_text(f"Get {feed}: failed")
    assert secret not in public_url(feed)
    item = Item("podcast", "1", "https://x.example/1", "t", channel_id=feed)
    assert secret not in (shown_item(item).channel_id or "")
    page = "https://x.example/episodes/8f3kq9zt2m1x"
    assert shown_item(replace(item, url=page)).url == page  # a link must open


@pytest.mark.parametrize(
    "public",
    [
        "https://feeds.simplecast.com/54nAGcIl",
        "https://anchor.fm/s/1a2b3c4d/podcast/rss",
        "https://feeds.megaphone.fm/VMP5705694065",
        "https://feeds.npr.org/510289/podcast.xml",
        "https://feeds.soundcloud.com/users/soundcloud:users:62921190/sounds.rss",
        "https://podcasts.apple.com/us/podcast/the-daily/id1200361736",
        "https://www.bilibili.com/video/BV1xx411c7mD",
        "https://www.youtube.com/channel/UCabcdefgh1234567890ABcd",
        "https://x.example/TheDailyShow/stufftoblowyourmind/feed.xml",
        "https://x.example/2026-03-01-episode-12-the-review/feed",
        "https://blog.example/?feed=podcast&p=1234",
    ],
)
def test_the_address_of_a_public_feed_is_shown_as_it_is(public):
    assert shown_feed(public) == public


def test_a_source_is_found_by_its_address_as_it_is_shown(tmp_path):
    feed = "https://x.example/rss/8f3kq9zt2m1x/feed.xml?auth=S"
    with Library(tmp_path / "library") as library:
        library.record("podcast", Listing(feed, "Show", iter(())), [])
        [source] = library.sources()
        assert "8f3kq9zt2m1x" not in source.shown_url
        assert library.source_url(source.shown_url) == library.find_source(source.shown_url) == feed
        assert library.source_url(shown_address(feed)) == feed  # as it was shown once


def test_pages_stay_open_unless_their_secret_is_evident():
    page = "https://media.example/video/Y3JpZDovL2Rhc2Vyc3RlLmRlL3JlcG9ydGFnZV8xMjM?x=1"
    assert shown_page(page) == page
    assert "S3" not in shown_page("https://media.example/video/1?pwd=S3&x=1")
    assert "eyJ" not in shown_page(f"https://media.example/video/1?x=eyJ{'a' * 40}")


def test_two_private_feeds_of_a_show_have_different_names():
    one, two = (shown_address(f"https://x.example/rss?auth={n}") for n in (1, 2))
    assert one != two


@given(st.text(), st.text(min_size=1))
@example("0;0000=0", "0")
def test_any_text_can_be_shown(text, host):
    for url in (text, f"https://{text}", f"https://{host}/{text}?{text}#{text}"):
        for show in (shown_feed, shown_address, shown_page, shown_text):
            shown = show(url)
            assert show(shown) == shown


def test_messages_of_requests_and_headers_have_no_secrets():
    text = (
        "HTTPSConnectionPool(host='x.example', port=443): Max retries exceeded with url: /rss?auth=S1 "
        "(Caused by https://u:S2@x.example/a?token=S3, again https://x.example/a?token=S4)\n"
        "Authorization: Bearer S5\n'Cookie': 'session=S6'"
    )
    shown = shown_text(text)
    assert not [n for n in range(1, 7) if f"S{n}" in shown]
    assert "host='x.example'" in shown


def test_items_are_shown_without_the_address_of_their_recording():
    media = "https://cdn.example/private/S/e1.mp3?x=S"
    item = Item(
        *("podcast", "1", media, "t"),
        channel_id="https://x.example/rss?auth=S",
        media_url=media,
        transcript_links=(TranscriptLink(media),),
    )
    shown = shown_item(item)
    assert "S" not in f"{shown.url} {shown.channel_id} {shown.media_url} {shown.transcript_links}"
    assert "S" not in link(item, 1)
    local = Item("file", "1", "/private/S/e1.mp3", "t")
    assert shown_item(local) == local


# --- What is shown is a name ------------------------------------------------------------------------


@pytest.mark.slow
def test_commands_accept_an_address_as_it_is_shown(tmp_path, homescribe, club, server):
    homescribe("add", club)
    [source] = json.loads(homescribe("sources", "--json"))
    requests = len(server.log)
    homescribe("add", source["url"])
    assert len(server.log) > requests
    assert all(status == 200 for *_, status in server.log)
    shown = next(
        item for item in json.loads(homescribe("list", "--json")) if item["title"] == "Open"
    )
    assert "~" in shown["url"]
    homescribe("show", shown["url"])
    homescribe("remove", source["url"], "--items", "--yes")
    assert json.loads(homescribe("list", "--json")) == []
    homescribe("add", source["url"], status=2)  # without its secrets it cannot be requested


def test_links_of_a_feed_cannot_control_a_terminal(tmp_path, server):
    """ESC in the link of an entry; XML forbids it, but feedparser reads documents that are not XML."""
    body = f"<rss><channel><item><title>T\x1b[31m</title><link>{HOSTILE_LINK}</link>" + (
        f'<enclosure url="{server.base}/media/ep1.mp3" type="audio/mpeg"/></item></channel></rss>'
    )
    server.routes["/bad"] = lambda *_: (200, body, {"Content-Type": "text/xml"})
    stop = threading.Event()
    with closing(PodcastSource(SourceOptions(cache=tmp_path))) as source:
        [item] = next(source.list(server.url("/bad"), stop)).items
    assert "\x1b" not in item.url + item.title
    assert CANARY not in item.url
