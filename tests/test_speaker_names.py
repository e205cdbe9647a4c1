"""Names that mean several speakers or voices, by the library, the command line and the page's API."""

import httpx
import pytest
from click.testing import CliRunner

from homescribe.cli.main import homescribe
from homescribe.errors import UserError
from homescribe.library import Library
from test_speakers_library import ANN, BOB, THREE, conversation, item, names, show, state
from web_server import TOKEN, serving

KEY, CID = "podcast:id1", "SPEAKER_02"


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A talk of three, two of whom are Ann."""
    monkeypatch.setenv("HOMESCRIBE_LIBRARY", str(tmp_path))
    with Library(tmp_path) as opened:
        show(opened, 1, 2)
        opened.save(item(1), THREE)
        opened.name_speaker(KEY, ANN, "Ann")
        opened.name_speaker(KEY, CID, "Ann")
        yield opened


def run(*arguments):
    return CliRunner().invoke(homescribe, ["speakers", *arguments])


def test_a_name_means_all_who_have_it(library):
    assert run("rename", KEY, "ann", "Anna").exit_code == 0
    assert names(library) == ["Anna", "Speaker 2", "Anna"]
    (known,) = library.voices()
    assert (known.name, known.samples) == ("Anna", 2)
    assert run("undo").exit_code == 0
    assert names(library) == ["Ann", "Speaker 2", "Ann"]
    assert run("reject", KEY, "Ann").exit_code == 0
    assert names(library) == ["Speaker 1", "Speaker 2", "Speaker 3"]
    run("undo")
    assert names(library) == ["Ann", "Speaker 2", "Ann"]


def test_a_name_of_two_is_confirmed_for_both(library):
    (known,) = library.voices()
    library.forget_voice(known.id, keep_names=True)
    assert run("confirm", KEY, "Ann").exit_code == 0
    (known,) = library.voices()
    assert known.samples == 2


def test_a_number_means_one_speaker(library):
    assert run("rename", KEY, "3", "Cid").exit_code == 0
    assert names(library) == ["Ann", "Speaker 2", "Cid"]


@pytest.mark.parametrize(("name", "means"), [("2", 1), ("SPEAKER_01", 1), ("Speaker 2", 1)])
def test_numbers_and_labels_come_before_names(library, name, means):
    library.name_speaker(KEY, ANN, name)
    library.name_speaker(KEY, CID, "Cid")
    assert run("rename", KEY, name, "Dora").exit_code == 0
    assert names(library)[means] == "Dora"
    assert names(library)[0] == name


def test_two_voices_are_renamed_and_undone_as_one(library):
    show(library, 9, url="https://another")
    library.save(item(9), conversation((0, "another Ann"), voices=("zoe",)))
    library.name_speaker("podcast:id9", ANN, "Ann")
    assert len(library.voices()) == 2
    before = [*map(tuple, state(library)["speakers"])]
    assert run("rename-voice", "Ann", "Anna").exit_code == 0
    assert [each.name for each in library.voices()] == ["Anna", "Anna"]
    assert run("undo").exit_code == 0
    assert [*map(tuple, state(library)["speakers"])] == before


def test_all_and_a_key_are_refused(library):
    result = run(KEY, "--all")
    assert result.exit_code != 0
    assert "Both KEY and --all were given." in str(result.exception) + result.output


def test_undo_of_another_naming_is_refused(library):
    first = library.name_speaker(KEY, BOB, "Bob").id
    second = library.name_speaker(KEY, CID, "Cid").id
    with pytest.raises(UserError, match="Another name was given since"):
        library.undo_naming(first)
    assert names(library) == ["Ann", "Bob", "Cid"]
    library.undo_naming(second)
    with pytest.raises(UserError, match="undone already"):
        library.undo_naming(second)
    library.undo_naming(first)
    assert names(library) == ["Ann", "Speaker 2", "Ann"]
    assert library.name_speaker(KEY, ANN, "Ann").id is None


def test_the_page_names_the_naming_that_it_undoes(library, tmp_path):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with serving(tmp_path) as base, httpx.Client(base_url=base, headers=headers) as client:
        check_undo(client, library)


def check_undo(client, library):
    address = f"/api/items/{KEY}/speakers/{ANN}"
    changed = client.put(address, json={"name": "Anna"}).json()
    assert [each["name"] for each in changed["speakers"]] == ["Anna", None, "Anna"]
    other = client.put(address, params={"only": "true"}, json={"name": "Eve"}).json()
    assert [each["name"] for each in other["speakers"]] == ["Eve", None, "Anna"]
    undo = "/api/speakers/undo"
    refused = client.post(undo, params={"naming": changed["naming"]})
    assert (refused.status_code, names(library)[0]) == (400, "Eve")
    assert client.post(undo, params={"naming": other["naming"]}).status_code == 200
    assert client.post(undo, params={"naming": changed["naming"]}).status_code == 200
    assert names(library) == ["Ann", "Speaker 2", "Ann"]
    assert client.post(undo, params={"naming": "latest"}).status_code == 400
