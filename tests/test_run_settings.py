"""Settings that the page changes, and the file that they are kept in."""

import os
import stat
import tomllib

import httpx
import pytest

from homescribe import UserError
from homescribe.config import Config
from homescribe.config_file import change_settings
from web_server import TOKEN, serving

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
WRITTEN = """\
# Settings of homescribe.
model = "small"   # fast enough
language = 'de'
disk = 3.0

# a note
beam_size = 1# greedy
initial_prompt = "Ann \\"A#1\\" Lee"
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "config" / "config.toml"


@pytest.fixture
def client(tmp_path, file):
    with (
        serving(tmp_path / "library", config_file=file) as address,
        httpx.Client(base_url=address, headers=AUTHORIZED, timeout=30) as client,
    ):
        yield client


def values(client):
    state = client.get("/api/settings").json()
    return {name: setting["value"] for name, setting in state["settings"].items()}


# --- The file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "replaced"),
    [
        ({"model": "base"}, [('"small"', '"base"')]),
        ({"language": None}, [("language = 'de'\n", "")]),
        ({"beam_size": 5, "disk": 2.5}, [("1# greedy", "5# greedy"), ("3.0", "2.5")]),
        ({"initial_prompt": 'Zoë # "x"'}, [('"Ann \\"A#1\\" Lee"', '"Zoë # \\"x\\""')]),
        ({"task": "translate"}, [('Lee"\n', 'Lee"\ntask = "translate"\n')]),
        ({"word_timestamps": None}, []),
        ({"model": "a\x7f\n\\b"}, [('"small"', '"a\\u007f\\n\\\\b"')]),
    ],
)
def test_only_the_line_of_a_setting_changes(file, changes, replaced):
    file.parent.mkdir()
    file.write_text(WRITTEN)
    change_settings(file, changes)
    expected = WRITTEN
    for old, new in replaced:
        assert old in expected
        expected = expected.replace(old, new)
    assert file.read_text() == expected
    parsed = tomllib.loads(expected)
    assert {name: parsed.get(name) for name in changes} == changes


@pytest.mark.parametrize("key", ['"language"', "'language'"])
def test_a_name_in_quotes_is_known(file, key):
    file.parent.mkdir()
    file.write_text(f'{key} = "en" # mine\n')
    change_settings(file, {"language": "de"})
    assert file.read_text() == f'{key} = "de" # mine\n'


def test_line_ends_of_windows_stay(file):
    file.parent.mkdir()
    file.write_bytes(b'model = "small"\r\n# end\r\n')
    change_settings(file, {"model": "base"})
    assert file.read_bytes() == b'model = "base"\r\n# end\r\n'


def test_a_file_without_an_end_of_line_is_completed(file):
    file.parent.mkdir()
    file.write_text("# mine")
    change_settings(file, {"model": "base"})
    assert file.read_text() == '# mine\nmodel = "base"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('initial_prompt = """\nmodel = "x"\n"""\n', "model cannot be written"),
        ('initial_prompt = """\nx\n"""\n', "initial_prompt cannot be written"),
        ("not TOML", "cannot be changed"),
        ("[table]\n", "model cannot be written"),
    ],
)
def test_what_is_not_understood_is_left_alone(file, text, said):
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(UserError, match=said):
        change_settings(file, {"model": "base", "initial_prompt": "Ann"})
    assert file.read_text() == text


def test_a_new_file_is_its_owners_and_a_link_stays_a_link(file, tmp_path):
    change_settings(file, {"model": "base"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    target = tmp_path / "dotfiles.toml"
    file.rename(target)
    target.chmod(0o644)
    file.symlink_to(target)
    change_settings(file, {"model": "tiny"})
    assert file.is_symlink()
    assert target.read_text() == 'model = "tiny"\n'
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert os.listdir(file.parent) == ["config.toml"]  # noqa: PTH208 - also hidden files


# --- The API ----------------------------------------------------------------------------------------


def test_a_change_applies_to_the_next_run_and_is_kept(client, file):
    assert values(client)["model"] == "demo"
    changes = {"language": "german", "task": "translate", "word_timestamps": True}
    answer = client.put("/api/settings", json=changes)
    assert answer.status_code == 200, answer.text
    assert values(client) | changes == values(client)
    assert tomllib.loads(file.read_text()) == changes
    client.put("/api/settings", json={"task": None, "language": ""})
    assert (values(client)["task"], values(client)["language"]) == ("transcribe", None)
    assert tomllib.loads(file.read_text()) == {"word_timestamps": True}


def test_the_model_of_the_start_can_be_chosen_again(client):
    state = client.put("/api/settings", json={"model": "tiny"}).json()
    assert state["models"][0] == "tiny"
    assert "demo" in state["models"]
    assert client.get("/v1/models").json()["data"][1]["id"] == "tiny"
    assert client.put("/api/settings", json={"model": "demo"}).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"library": "/tmp/other"},
        {"cookies": "/etc/passwd"},
        {"backend": "modal"},
        {"max_cost": 1000},
        {"allow_private_networks": True},
        {"speaker_embedding": "/etc/passwd"},
        {"model": "/etc/passwd"},
        {"model": "someone/model"},
        {"language": "klingon"},
        {"task": "summarize"},
        {"word_timestamps": "yes"},
        {"speakers": "many"},
        {"x": None},
        {"initial_prompt": ["a"]},
        {"initial_prompt": "a" * 5001},
        {"language": "de", "task": "x"},  # all or nothing
    ],
)
def test_other_settings_and_values_are_refused(client, file, changes):
    before = values(client)
    answer = client.put("/api/settings", json=changes)
    assert answer.status_code == 400
    assert answer.json()["error"]["hint"]
    assert values(client) == before
    assert not file.exists()


def test_changing_needs_the_token(client, file):
    answer = httpx.put(client.base_url.join("/api/settings"), json={"task": "translate"})
    assert answer.status_code == 403
    assert not file.exists()


def test_a_file_that_cannot_be_written_is_said_and_nothing_changes(client, file):
    file.parent.mkdir()
    file.mkdir()
    answer = client.put("/api/settings", json={"task": "translate"})
    assert answer.status_code == 400
    assert "cannot be changed" in answer.json()["error"]["message"]
    assert values(client)["task"] == "transcribe"


def test_without_a_file_a_change_holds_until_the_server_stops(tmp_path):
    with serving(tmp_path) as address, httpx.Client(base_url=address, headers=AUTHORIZED) as client:
        assert client.put("/api/settings", json={"task": "translate"}).json()["file"] is None
        assert values(client)["task"] == "translate"
        assert "Changes hold until the server stops" in client.get("/add").text


def test_the_page_shows_no_secret(tmp_path):
    secrets = Config(library=tmp_path, cookies=tmp_path / "secret", user_agent="secret")
    with serving(tmp_path, cookies=secrets.cookies, user_agent="secret") as address:
        assert "secret" not in httpx.get(f"{address}/api/settings").text
        assert "secret" not in httpx.get(f"{address}/add").text
