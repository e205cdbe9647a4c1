"""Commands and webhooks that are told when an item or a run is finished."""

import base64
import hashlib
import hmac
import http.server
import json
import shutil
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from command_line import CommandLine
from fake_plugins import FakeBackend, FakeSource, item, run, transcript
from homescribe import Outcome, PermanentError, demo
from homescribe.assemble import build_notifier, check_options
from homescribe.config import Config, load
from homescribe.errors import RetryableError, SetupError, UserError
from homescribe.library import Library
from homescribe.notifications import done_command, notifier, webhook
from homescribe.notifications.apprise_service import AppriseService
from homescribe.notifications.delivery import NotDelivered
from homescribe.notifications.done_command import DoneCommand
from homescribe.notifications.notification import item_notification
from homescribe.notifications.notifier import Notifier
from homescribe.notifications.webhook import Webhook, signature, signing_key
from homescribe.sources import private_networks
from test_web_jobs import act, wait_for
from web_server import TOKEN, serving

# Apprise imports it where Python still has it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SAVE = """\
import json, os, sys
told = {name: value for name, value in os.environ.items() if name.startswith("HOMESCRIBE_")}
with open(sys.argv[1], "a", encoding="utf-8") as file:
    print(json.dumps({"stdin": json.load(sys.stdin), "variables": told, "args": sys.argv[2:]}), file=file)
"""
NEVER = threading.Event()


def saving(folder, *arguments):
    """A command that appends what it gets to a file in `folder`, and the function that returns this."""
    script, file = folder / "save it.py", folder / "told.jsonl"
    script.write_text(SAVE)
    line = f'{sys.executable} "{script}" "{file}" {" ".join(arguments)}'
    return line, lambda: [json.loads(one) for one in file.read_text("utf-8").splitlines()]


def done(number=1, **changes):
    return Outcome(item(number, **changes), transcript=transcript())


def failed(number):
    return Outcome(item(number), error=PermanentError("This video is private.", "Ask its owner."))


class Receiver(http.server.ThreadingHTTPServer):
    """Takes POST requests, and answers each with the next of `statuses`, then with 204."""

    daemon_threads = True

    def __init__(self, *statuses, headers=None):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.statuses = [*statuses]
        self.headers = headers or {}
        self.requests = []  # headers, body

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/hook?token=s3cr3t"


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((dict(self.headers), body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 204)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_POST  # noqa: N815 - of a redirect that would be followed

    def log_message(self, *_):
        pass


@contextmanager
def receiving(*statuses, headers=None):
    with Receiver(*statuses, headers=headers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def waits(monkeypatch):
    """The seconds between attempts of webhooks, which are not waited."""
    found = []

    class Quick(threading.Event):
        def wait(self, timeout=None):
            if timeout and timeout >= 1:
                found.append(timeout)
                return self.is_set()
            return super().wait(timeout)

    monkeypatch.setattr(notifier, "Event", Quick)
    return found


def notified(targets, *outcomes, stop=NEVER):
    """Notify of a run with these outcomes, and return the warnings."""
    with Notifier(targets, Path("/library"), stop) as telling:
        for outcome in outcomes:
            telling.add(outcome)
    return telling.warnings


# --- Commands --------------------------------------------------------------------------------------


def test_a_command_gets_json_and_variables(tmp_path):
    line, told = saving(tmp_path, "-x", "'two words'")
    strange = "a\nb\0 $(touch /tmp/owned) \x1b[31m`id` \ud83d"
    outcome = done(title=strange, upload_date="2026-03-01")
    assert notified([DoneCommand("on_done", line, "item.done")], outcome, failed(2)) == []
    (one,) = told()
    assert one["args"] == ["-x", "two words"]
    assert one["stdin"]["type"] == "item.done"
    assert one["stdin"]["data"]["key"] == "fake:site-1"
    assert one["stdin"]["data"]["title"] == strange.replace("\ud83d", "?")
    assert one["stdin"]["data"]["transcript"]["text"] == "hello world"
    assert {name: value for name, value in one["variables"].items() if "ITEM" in name} == {
        "HOMESCRIBE_ITEM_KEY": "fake:site-1",
        "HOMESCRIBE_ITEM_TITLE": "a b $(touch /tmp/owned) [31m`id` ?",
        "HOMESCRIBE_ITEM_CHANNEL": "A channel",
        "HOMESCRIBE_ITEM_DATE": "2026-03-01",
        "HOMESCRIBE_ITEM_URL": "https://site.example/1",
        "HOMESCRIBE_ITEM_LANGUAGE": "en",
        "HOMESCRIBE_ITEM_SECONDS": "10.0",
    }
    assert one["variables"]["HOMESCRIBE_EVENT"] == "item.done"
    assert one["variables"]["HOMESCRIBE_LIBRARY"] == "/library"


def test_a_command_starts_however_long_a_title_is(tmp_path):
    line, told = saving(tmp_path)
    title = "標" * 200_000
    assert notified([DoneCommand("on_done", line, "item.done")], done(title=title)) == []
    (one,) = told()
    assert one["stdin"]["data"]["title"] == title
    assert one["variables"]["HOMESCRIBE_ITEM_TITLE"] == "標" * 8000


def test_a_command_for_the_run_gets_its_numbers(tmp_path):
    line, told = saving(tmp_path)
    command = DoneCommand("on_run", line, "run.done")
    assert notified([command], done(1), failed(2), failed(3), done(3)) == []
    (one,) = told()
    data = one["stdin"]["data"]
    assert (data["done"], data["failed"], data["stopped"], data["error"]) == (2, 1, False, None)
    assert data["failures"][0]["key"] == "fake:site-2"
    assert data["failures"][0]["error"]["message"] == "This video is private."
    assert one["variables"]["HOMESCRIBE_RUN_DONE"] == "2"
    assert one["variables"]["HOMESCRIBE_RUN_FAILED"] == "1"
    assert notified([command]) == []  # a run without outcomes
    assert len(told()) == 1


def test_an_error_that_ends_a_run_is_told(tmp_path):
    line, told = saving(tmp_path)
    telling = Notifier([DoneCommand("on_run", line, "run.done")], tmp_path, NEVER).__enter__()
    telling.add(done())
    error = UserError("The disk is full.", "Free some space.")
    telling.__exit__(UserError, error, None)
    assert told()[0]["stdin"]["data"]["error"] == {
        "message": "The disk is full.",
        "hint": "Free some space.",
    }


def test_commands_that_fail_are_warnings():
    code = "import sys; sys.stderr.write('first\\nno such host\\n'); sys.exit(7)"
    command = DoneCommand("on_done", f'{sys.executable} -c "{code}"', "item.done")
    assert notified([command], done(1), done(2)) == [
        "on_done failed with exit code 7: no such host",
        "on_done: 1 notification more not delivered.",
    ]


class FailsOnce:
    """A target whose first delivery raises `error`."""

    name, most_failures = "webhook", None

    def __init__(self, error):
        self.errors = [error]
        self.delivered = []

    def wants(self, kind):
        return True

    def deliver(self, notification, ending):
        if self.errors:
            raise self.errors.pop()
        self.delivered.append(notification.kind)


def test_an_unforeseen_exception_in_a_delivery_does_not_end_the_next_ones():
    target = FailsOnce(RuntimeError("https://host.example/?token=s3cr3t"))
    assert notified([target], done(1), done(2)) == ["webhook: internal error (RuntimeError)."]
    assert target.delivered == ["item.done", "run.done"]


def test_a_folder_for_temporary_files_that_vanished_is_a_warning(tmp_path, monkeypatch):
    line, told = saving(tmp_path)
    make, failures = done_command.tempfile.TemporaryFile, [FileNotFoundError(2, "No such folder")]

    def temporary_file():
        if failures:
            raise failures.pop()
        return make()

    monkeypatch.setattr(done_command.tempfile, "TemporaryFile", temporary_file)
    warnings = notified([DoneCommand("on_done", line, "item.done")], done(1), done(2))
    assert warnings == ["on_done cannot be started: No such folder."]
    assert [one["stdin"]["data"]["key"] for one in told()] == ["fake:site-2"]


def test_a_notification_that_cannot_be_made_does_not_end_the_run(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise MemoryError("s3cr3t")

    monkeypatch.setattr(notifier, "item_notification", fail)
    target = FailsOnce(None)
    target.errors.clear()
    with Library(tmp_path / "library") as library:
        for number in (1, 2):
            library.fail(item(number), RetryableError("not yet"))
        library.retry()
        listener = Notifier([target], tmp_path, NEVER)
        outcomes = list(
            run(library, FakeSource(), FakeBackend(lambda work: transcript()), listener=listener)
        )
    assert [bool(outcome.transcript) for outcome in outcomes] == [True, True]
    assert listener.warnings == ["A notification was not made: internal error (MemoryError)."]
    assert target.delivered == ["run.done"]

    monkeypatch.setattr(notifier, "run_notification", fail)
    monkeypatch.setattr(notifier, "item_notification", item_notification)
    assert notified([target], done()) == [
        "A notification was not made: internal error (MemoryError)."
    ]
    assert target.delivered == ["run.done", "item.done"]


def test_secret_addresses_are_not_told():
    address = "https://pod.example/private/s3cr3tT0ken99887766/1.mp3"
    outcome = Outcome(
        item(1, url=address, media_url=address), error=PermanentError(f"{address}: 403")
    )
    notification = item_notification(outcome, Path("/library"))
    assert b"s3cr3t" not in notification.body
    assert not [value for value in notification.variables.values() if "s3cr3t" in value]
    assert "pod.example" in notification.variables["HOMESCRIBE_ITEM_ERROR"]


def test_a_command_that_does_not_read_its_input_is_no_failure():
    command = DoneCommand("on_done", "true", "item.done")
    text = Outcome(item(1), transcript=transcript("x" * 500_000))
    assert notified([command], text) == []


def test_a_command_that_takes_too_long_is_ended_with_what_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(done_command, "TIME_LIMIT", 1.0)
    file = tmp_path / "alive"
    script = tmp_path / "slow.sh"
    script.write_text(f"#!/bin/sh\n(sleep 3; touch {file}) &\nwait\n")
    script.chmod(0o755)
    began = time.monotonic()
    warnings = notified([DoneCommand("on_done", str(script), "item.done")], done())
    assert warnings == ["on_done took more than 1 seconds."]
    assert time.monotonic() - began < 30
    time.sleep(max(0.0, began + 5 - time.monotonic()))
    assert not file.exists()


def test_after_a_stop_nothing_is_waited_for_long(monkeypatch):
    monkeypatch.setattr(notifier, "GRACE", 0.3)
    stop = threading.Event()
    command = DoneCommand("on_done", "sleep 600", "item.done")
    began = time.monotonic()
    with Notifier([command], Path("/library"), stop) as telling:
        for number in range(3):
            telling.add(done(number))
        stop.set()
    assert time.monotonic() - began < 60
    assert telling.warnings == [
        "on_done was stopped.",
        "on_done: 2 notifications more not delivered.",
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"on_done": "no-such-program x"}, "on_done: there is no program 'no-such-program'."),
        ({"on_run": "echo 'one"}, 'on_run is not a command: "echo \'one" has a quotation mark'),
        ({"on_run": "  "}, "on_run is empty."),
        ({"webhook": "ftp://a.example/"}, "webhook: 'ftp://a.example/' is not a web address."),
        ({"webhook": "https://"}, "webhook: 'https://' is not a web address."),
        (
            {"webhook": "https://a.example/", "webhook_secret": "whsec_?"},
            "webhook_secret begins with whsec_, but is no base64 after that.",
        ),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_done(tmp_path, settings, message):
    with pytest.raises(UserError) as caught:
        check_options(Config(library=tmp_path, model="demo", **settings))
    assert caught.value.message.startswith(message)


def test_without_settings_nothing_is_built(tmp_path):
    assert build_notifier(Config(library=tmp_path), NEVER) is None


# --- Webhooks --------------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_standard():
    """The example of https://www.standardwebhooks.com, as its Python library signs it."""
    body = b'{"test": 2432232314}'
    signed = signature(signing_key(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signing_key("a word") == b"a word"


def test_a_webhook_gets_signed_json(waits):
    with receiving() as server:
        assert notified([Webhook(server.url, SECRET)], done(1), failed(2)) == []
    bodies = [json.loads(body) for _, body in server.requests]
    assert [body["type"] for body in bodies] == ["item.done", "item.failed", "run.done"]
    assert bodies[0]["data"]["transcript"]["text"] == "hello world"
    assert bodies[1]["data"]["error"]["message"] == "This video is private."
    for headers, body in server.requests:
        at, number = headers["webhook-timestamp"], headers["webhook-id"]
        assert abs(int(at) - time.time()) < 60
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        mac = hmac.new(key, f"{number}.{at}.".encode() + body, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"
        assert headers["Content-Type"] == "application/json"
    assert len({headers["webhook-id"] for headers, _ in server.requests}) == 3


def test_a_webhook_is_tried_again_with_the_same_id(waits):
    with receiving(503, 429, headers={"Retry-After": "20"}) as server:
        assert notified([Webhook(server.url)], done()) == []
    first, second, third = (headers["webhook-id"] for headers, _ in server.requests[:3])
    assert first == second == third
    assert waits == [20.0, 20.0]
    assert "webhook-signature" not in server.requests[0][0]


@pytest.mark.parametrize(
    ("status", "attempts", "reason"),
    [
        (404, 1, "refuses the notification (HTTP 404)"),
        (500, 4, "refuses the notification (HTTP 500)"),
        (302, 1, "redirects (HTTP 302), which is not followed"),
    ],
)
def test_a_webhook_that_does_not_accept_it_is_a_warning(waits, status, attempts, reason):
    headers = {"Location": "/elsewhere"}
    with receiving(*[status] * attempts, headers=headers) as server:
        target = Webhook(server.url)
        with pytest.raises(NotDelivered) as caught:
            target.deliver(item_notification(done(), Path("/library")), notifier.Event())
    assert len(server.requests) == attempts
    assert reason in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_a_webhook_that_is_not_reached_is_given_up_in_this_run(waits):
    with receiving() as server:
        url = server.url
    warnings = notified([Webhook(url)], *map(done, range(10)))
    assert len(waits) == 3 * 3
    assert len(warnings) == 2
    assert "the connection failed" in warnings[0]
    assert "s3cr3t" not in warnings[0]
    assert warnings[1] == "webhook: 10 notifications more not delivered."


def test_a_public_name_does_not_lead_into_a_private_network(monkeypatch, waits):
    """It resolves to this machine, as a name that a stranger took over would."""
    with receiving() as server:
        url = server.url.replace("127.0.0.1", "hook.public.example")
        address = [(2, 1, 6, "", server.server_address)]
        monkeypatch.setattr(private_networks.socket, "getaddrinfo", lambda *_, **__: address)
        with pytest.raises(NotDelivered, match="is on a private network"):
            Webhook(url).deliver(item_notification(done(), Path("/l")), threading.Event())
        assert server.requests == []
        assert not waits


def test_a_server_that_never_answers_does_not_hold_the_run(monkeypatch):
    monkeypatch.setattr(notifier, "GRACE", 0.3)
    monkeypatch.setattr(notifier, "LEAST_GRACE", 0.3)
    stop = threading.Event()
    with webhook_that_is_silent() as url:
        began = time.monotonic()
        with Notifier([Webhook(url)], Path("/library"), stop) as telling:
            telling.add(done())
            assert time.monotonic() - began < 5  # the run goes on meanwhile
            stop.set()
        assert time.monotonic() - began < 8


@contextmanager
def webhook_that_is_silent():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


# --- Messages --------------------------------------------------------------------------------------


def test_a_message_about_the_run(waits):
    with receiving() as server:
        address = server.url.replace("http://", "json://").partition("?")[0]
        outcomes = (done(1), *(failed(number) for number in range(2, 9)))
        assert notified([AppriseService(f"{address}/a {address}/b")], *outcomes) == []
    first, second = (json.loads(body) for _, body in server.requests)
    assert first["title"] == "homescribe: the run is over"
    lines = first["message"].splitlines()
    assert lines[0] == "1 transcribed, 7 failed."
    assert lines[1] == "Talk 2: This video is private."
    assert lines[6:] == ["..."]
    assert second["message"] == first["message"]


def test_a_message_that_is_not_accepted_is_a_warning(waits):
    with receiving(500) as server:
        address = server.url.replace("http://", "json://user:s3cr3t@").partition("?")[0]
        (warning,) = notified([AppriseService(address)], done(1))
    assert warning.startswith("apprise: not sent (json: ")
    assert "500" in warning
    assert "s3cr3t" not in warning


def test_an_address_that_apprise_does_not_know_is_refused(tmp_path):
    for setting, message in (("nothing://s3cr3t", "nothing"), (" ", "is empty")):
        with pytest.raises(UserError, match=message) as caught:
            check_options(Config(library=tmp_path, model="demo", apprise=setting))
        assert "s3cr3t" not in caught.value.message


def test_without_apprise_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(SetupError, match="needs the package 'apprise'") as caught:
        build_notifier(Config(library=tmp_path, apprise="json://localhost"), NEVER)
    assert "'homescribe[apprise]'" in caught.value.hint


# --- Settings and runs ---------------------------------------------------------------------------


def test_secrets_are_not_shown(tmp_path):
    settings = {"webhook": "https://a.example/hook/abc", "webhook_secret": "hush"}
    code, out, _ = CommandLine(tmp_path, **settings).run("config", "--json")
    assert code == 0
    assert "hush" not in out
    assert "hook/abc" not in out
    assert json.loads(out)["webhook_secret"]["value"] == "(set)"
    config, _ = load({}, {"HOMESCRIBE_CONFIG": str(tmp_path / "x")} | _variables(settings))
    assert config.webhook_secret == "hush"
    assert "hush" not in repr(config)


def _variables(settings):
    return {f"HOMESCRIBE_{name.upper()}": value for name, value in settings.items()}


def test_commands_and_webhook_of_a_real_run(tmp_path):
    """The item's command finds the transcript in the library already."""
    line, told = saving(tmp_path)
    show = tmp_path / "show.sh"
    show.write_text(
        f'#!/bin/sh\n{sys.executable} -m homescribe show "$HOMESCRIBE_ITEM_KEY" > {tmp_path}/shown\n'
    )
    show.chmod(0o755)
    with receiving() as server:
        home = CommandLine(tmp_path, model="demo", on_done=show, on_run=line, webhook=server.url)
        code, _, err = home.run(
            "transcribe", demo.samples() / "fox-20s.mp3", "-f", "txt", "-o", "-"
        )
    assert code == 0, err
    assert "quick brown fox" in (tmp_path / "shown").read_text().lower()
    assert told()[0]["stdin"]["data"]["done"] == 1
    kinds = [json.loads(body)["type"] for _, body in server.requests]
    assert kinds == ["item.done", "run.done"]
    assert "Warning" not in err
    with Library(home.library) as library:
        assert library.status().states["done"] == 1


def test_a_run_from_the_page_notifies_and_logs_its_warnings(tmp_path, caplog):
    shutil.copy(demo.samples() / "fox-20s.mp3", tmp_path)
    library = tmp_path / "library"
    with (
        receiving() as server,
        serving(library, on_done="false", webhook=server.url) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        act(client, "add", url=str(tmp_path / "fox-20s.mp3"))
        wait_for(client, lambda now: now["listing"]["finished"])
        act(client, "accept")
        wait_for(client, lambda now: now["state"] == "idle" and now["items"]["done"] == 1)
        change = client.put("/api/settings", json={"on_done": "touch /tmp/owned"})
        assert change.status_code == 400
    assert [json.loads(body)["type"] for _, body in server.requests] == ["item.done", "run.done"]
    assert "on_done failed with exit code 1." in caplog.text


def test_a_failing_command_does_not_fail_the_run(tmp_path):
    home = CommandLine(tmp_path, model="demo", on_done="false")
    code, _, err = home.run("transcribe", demo.samples() / "fox-20s.mp3", "-f", "txt", "-o", "-")
    assert code == 0
    assert "Warning: on_done failed with exit code 1." in err
    assert webhook.MOST_DELAY == 60
