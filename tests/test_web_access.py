"""Who can use the server from where: names, origins, the token, and what needs none of them."""

import socket
from contextlib import suppress
from unittest.mock import MagicMock

import httpx
import pytest

from homescribe.cli.main import main
from homescribe.config import Config
from homescribe.errors import UserError
from homescribe.web import api, item_actions, run_settings
from homescribe.web import server as web_server_module
from homescribe.web.openapi import DETAILS
from web_server import TOKEN, serving

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
NOTES = "https://notes.example"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("access"), origins=[NOTES], hosts=["Scribe.home"]) as base:
        yield base


# --- Names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["nas.local", "scribe.example:443", "10.0.0.7"])
def test_a_request_with_the_token_passes_with_any_name(tmp_path, host):
    """Behind a proxy or in a container, the server does not know its names."""
    for token_required in (False, True):
        with serving(tmp_path, token_required=token_required) as address:
            sent = {"Host": host}
            assert httpx.get(f"{address}/api/status", headers=sent | AUTHORIZED).status_code == 200
            wrong = {"Authorization": "Bearer wrong"}
            refused = httpx.get(f"{address}/api/status", headers=sent | wrong)
            is_address = host == "10.0.0.7" and token_required
            assert refused.status_code == (401 if is_address else 421)


def test_a_page_is_opened_at_any_name_with_the_token_in_its_address(tmp_path):
    with serving(tmp_path, token_required=True) as address:
        name = {"Host": "nas.local"}
        opened = httpx.get(f"{address}/?token={TOKEN}", headers=name)
        assert opened.status_code == 303
        cookie = {"Cookie": opened.headers["set-cookie"].partition(";")[0]}
        assert httpx.get(f"{address}/", headers=name | cookie).status_code == 200
        refused = httpx.get(f"{address}/?token=wrong", headers=name)
        assert (refused.status_code, "--allow-host" in refused.text) == (421, True)


def test_an_allowed_name_needs_no_token_to_read(base):
    for host, status in (("scribe.home", 200), ("SCRIBE.home:80", 200), ("scribe.homes", 421)):
        assert httpx.get(f"{base}/", headers={"Host": host}).status_code == status


def test_the_address_for_other_devices_is_a_number(monkeypatch):
    shown = web_server_module._address("0.0.0.0", 8765)
    host = shown.removeprefix("http://").removesuffix(":8765/")
    assert host != "0.0.0.0"
    socket.inet_aton(host)  # not a name, unless there is no network
    assert web_server_module._address("127.0.0.1", 1) == "http://127.0.0.1:1/"

    class Offline(socket.socket):
        def connect(self, address):
            raise OSError

    monkeypatch.setattr(socket, "socket", Offline)
    assert socket.gethostname() in web_server_module._address("0.0.0.0", 8765)


# --- Origins ----------------------------------------------------------------------------------------


def test_a_page_of_an_allowed_origin_reads_and_writes_with_the_token(base):
    origin = {"Origin": NOTES, "Sec-Fetch-Site": "cross-site"}
    read = httpx.get(f"{base}/api/status", headers=origin)
    assert read.status_code == 200
    assert read.headers["access-control-allow-origin"] == NOTES
    assert "access-control-allow-credentials" not in read.headers
    assert read.headers["vary"] == "Accept-Encoding, Origin"
    assert httpx.post(f"{base}/api/queue", headers=origin, json={}).status_code == 403
    write = httpx.post(f"{base}/api/queue", headers=origin | AUTHORIZED, json={"action": "pause"})
    assert write.status_code == 400  # allowed: there is no run


@pytest.mark.parametrize("path", ["/api/queue", "/api/uploads/x", "/v1/audio/transcriptions"])
def test_a_browser_may_ask_before_it_sends_a_request(base, path):
    asking = {"Access-Control-Request-Method": "PATCH", "Origin": NOTES}
    answer = httpx.options(f"{base}{path}", headers=asking)
    assert answer.status_code == 204
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    refused = httpx.options(f"{base}{path}", headers=asking | {"Origin": "https://evil.example"})
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers


def test_with_the_token_required_only_the_question_needs_none(tmp_path):
    with serving(tmp_path, token_required=True, origins=[NOTES]) as address:
        asking = {"Access-Control-Request-Method": "GET", "Origin": NOTES}
        assert httpx.options(f"{address}/api/status", headers=asking).status_code == 204
        assert httpx.options(f"{address}/api/status", headers={"Origin": NOTES}).status_code == 401
        assert httpx.get(f"{address}/api/status", headers=asking).status_code == 401


@pytest.mark.parametrize(
    "origin",
    ["*", "notes.example", "https://", "https://notes.example/path", "null", "https://*.example"],
)
def test_what_is_not_an_origin_is_refused(capsys, tmp_path, origin):
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--library", str(tmp_path), "--allow-origin", origin])
    assert ended.value.code == 2
    assert "is not an origin" in capsys.readouterr().err


# --- What programs ask first ------------------------------------------------------------------------


def test_health_needs_no_token_and_says_nothing_else(tmp_path):
    with serving(tmp_path, token_required=True) as address:
        answer = httpx.get(f"{address}/health")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert httpx.get(f"{address}/healthy").status_code == 401
        assert httpx.get(f"{address}/health", headers={"Host": "evil.example"}).status_code == 421
        (tmp_path / "library.db").write_bytes(
            b"not a database, but long enough to be read as one" * 100
        )
        assert httpx.get(f"{address}/health").status_code == 503


@pytest.mark.parametrize(
    ("path", "status"), [("/nothing", 404), ("/api/nothing", 404), ("/api/queue", 413)]
)
def test_a_large_body_for_an_unknown_address_is_not_found(base, path, status):
    answer = httpx.post(f"{base}{path}", content=b" " * 1_100_000, headers=AUTHORIZED)
    assert answer.status_code == status


def test_every_address_for_programs_is_described(base):
    described = httpx.get(f"{base}/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    paths = described["paths"]
    for path, detail in DETAILS.items():  # details of what does not exist any more
        assert path in paths
        assert detail.keys() <= paths[path].keys(), path
    assert {"/api/items/{key}/segments/{position}", "/v1/models/{model}", "/health"} <= paths.keys()
    for path, operations in paths.items():
        named = {each["name"] for each in operations.get("parameters", [])}
        assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}
        for method, operation in operations.items():
            if method != "parameters":
                assert operation["summary"], path
                assert operation["responses"], path


class RecordedNames(dict):
    """A request body that records the names that are read of it."""

    def __init__(self, body, names):
        super().__init__(body)
        self.names = names

    def get(self, name, default=None):
        self.names.add(name)
        return super().get(name, default)


def body_schema(described, path, method):
    body = described["paths"][path][method]["requestBody"]
    return body["content"]["application/json"]["schema"]["properties"]


def test_every_action_and_setting_is_described(base, tmp_path):
    described = httpx.get(f"{base}/openapi.json").json()
    queue = body_schema(described, "/api/queue", "post")
    assert sorted(queue["action"]["enum"]) == sorted(api.ACTIONS)
    read = {"action"}
    for body in ({"url": "x", "key": "x"}, {"url": "x", "keys": ["x"]}):
        for action in api.ACTIONS.values():
            jobs = MagicMock(config=Config(library=tmp_path))
            jobs.retry.return_value = (0, False)
            with suppress(UserError):  # no run is active
                action(jobs, RecordedNames(body, read))
    assert queue.keys() == read
    selection = body_schema(described, "/api/selection", "post")
    assert sorted(selection["action"]["enum"]) == sorted(item_actions.ACTIONS)
    settings = body_schema(described, "/api/settings", "put")
    assert tuple(settings) == run_settings.CHANGEABLE


def test_a_misspelled_setting_of_the_page_is_not_hidden(monkeypatch, tmp_path):
    monkeypatch.setattr(run_settings, "CHANGEABLE", ("modle",))
    with pytest.raises(KeyError, match="modle"):
        run_settings.RunSettings(Config(library=tmp_path), None).state()
