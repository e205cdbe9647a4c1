"""A glossary: names in the prompt of a run, and rules that become replacements."""

import httpx
import pytest

from homescribe import Item, Library, Listing, Segment, Transcript, UserError, demo
from homescribe.backends.wire import make_request, parse_options
from homescribe.cli.main import run
from homescribe.config import Config
from homescribe.core import Audio
from homescribe.glossary import build_prompt, take_rules, transcription_options, write_glossary
from homescribe.text.glossary_lines import parse_glossary
from web_server import TOKEN, serving

ITEM = Item("web", "talk", "https://x.example/talk", "A talk", channel="Talks")
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
WRITTEN = """\
# People
#Not any more
#Perrisson -> Peerson
Ann Lee
C#   # a language
Perrison -> Peerson
Ann Lee
home scribe → homescribe
"""


@pytest.fixture
def config(tmp_path):
    return Config(library=tmp_path / "library", model="demo")


@pytest.fixture
def library(config):
    with Library(config.library) as library:
        library.record("ytdlp", Listing("https://x.example", "X", iter(())), [ITEM])
        library.save(ITEM, said("Doctor Perrison is here."))
        yield library


def said(*lines):
    segments = (Segment(2.0 * n, 2.0 * n + 1.5, f" {text}") for n, text in enumerate(lines))
    return Transcript("faster-whisper", "small", "en", 100.0, tuple(segments))


def text(library):
    return library.transcript(ITEM.key).text


# --- The file ----------------------------------------------------------------------------------------


def test_names_and_rules_are_read_in_order():
    found = parse_glossary(WRITTEN, "names.txt")
    assert found.names == ("Ann Lee", "C#", "Peerson", "homescribe")
    assert [(rule.misheard, rule.right, rule.line) for rule in found.rules] == [
        ("Perrison", "Peerson", 6),
        ("home scribe", "homescribe", 8),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-> Peerson", "no rule"),
        ("Perrison ->", "no rule"),
        ("a -> b -> c", "no rule"),
        ("... -> Peerson", "no word"),
        ("Ann -> Ann", "the same"),
        ("x" * 201, "201 characters"),
        ("x" * 1000, "characters"),
    ],
)
def test_a_line_that_is_not_valid_is_named(line, reason):
    with pytest.raises(UserError, match=rf"names.txt, line 2: .*{reason}"):
        parse_glossary(f"Ann Lee\n{line}\n", "names.txt")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_editor_can_have_written_it(config, encoding):
    (config.library).mkdir()
    (config.library / "glossary.txt").write_bytes("Zoë\r\nŁódź\r\n".encode(encoding))
    assert transcription_options(config, "demo").initial_prompt == "Łódź, Zoë."


@pytest.mark.parametrize("content", [None, bytes(2000), b"x\n" * 300_000])
def test_a_file_that_is_no_glossary_is_an_error(tmp_path, content):
    file = tmp_path / "names.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"names\.txt"):
        transcription_options(Config(library=tmp_path, glossary=file), "demo")


# --- The prompt ------------------------------------------------------------------------------------


def test_the_first_names_are_next_to_the_speech():
    glossary = parse_glossary(WRITTEN, "names.txt")
    found = build_prompt(glossary, "A talk.", lambda text: True)
    assert (found.text, found.names, found.left_out) == (
        "homescribe, Peerson, C#, Ann Lee. A talk.",
        4,
        0,
    )


def test_names_without_room_are_left_out_from_the_end():
    glossary = parse_glossary(WRITTEN, "names.txt")
    found = build_prompt(glossary, None, lambda text: len(text) <= len("C#, Ann Lee."))
    assert (found.text, found.names, found.left_out) == ("C#, Ann Lee.", 2, 2)


def test_a_prompt_stays_as_it_is_without_a_glossary(config):
    with_prompt = Config(library=config.library, initial_prompt=" A talk. ")
    assert transcription_options(with_prompt, "demo").initial_prompt == " A talk. "
    assert transcription_options(config, "demo").initial_prompt is None


def test_every_backend_gets_the_names(config, tmp_path):
    """A container gets the options of a run, and not the file."""
    write_glossary(config, WRITTEN)
    options = transcription_options(config, "demo")
    request = make_request(
        Audio(ITEM, tmp_path), b"audio", options, "T4", "faster-whisper", "small"
    )
    assert parse_options(request["options"]).initial_prompt == "homescribe, Peerson, C#, Ann Lee."


# --- Rules -----------------------------------------------------------------------------------------


def test_a_rule_concerns_stored_and_new_transcripts_once(config, library):
    write_glossary(config, WRITTEN)
    changed, conflicts = take_rules(config, library)
    assert (text(library), conflicts) == ("Doctor Peerson is here.", [])
    assert changed == [
        "New in glossary.txt: 2 rules, which replaced 1 time in 1 line of 1 recording. "
        "To undo: homescribe replaced remove 1 2"
    ]
    library.save(ITEM, said("Perrison uses home scribe."))
    assert text(library) == "Peerson uses homescribe."
    assert take_rules(config, library) == ([], [])
    assert len(library.replacements()) == 2


def test_a_rule_that_was_removed_does_not_come_back(config, library):
    write_glossary(config, WRITTEN)
    take_rules(config, library)
    library.remove_replacement(1)
    assert text(library) == "Doctor Perrison is here."
    unused = (
        "glossary.txt: Perrison -> Peerson is not used, because its replacement was removed. To use it "
        "again: homescribe replace Perrison Peerson"
    )
    assert take_rules(config, library) == ([], [unused])
    assert [each.old for each in library.replacements()] == ["home scribe"]


def test_a_rule_that_was_removed_can_be_used_again(config, library):
    write_glossary(config, "home scribe -> homescribe")
    take_rules(config, library)
    library.remove_replacement()
    write_glossary(config, "Anna -> Ann\nhome scribe -> homescribe")  # another one is new
    changed, [unused] = take_rules(config, library)
    assert changed == ["New in glossary.txt: 1 rule. To undo: homescribe replaced remove 2"]
    assert unused.endswith("again: homescribe replace 'home scribe' homescribe")
    library.replace_words("home scribe", "homescribe")
    assert take_rules(config, library) == ([], [])


def test_a_replacement_of_a_person_stays(config, library):
    library.replace_words("perrison", "Pearson")
    library.replace_words("home scribe", "homescribe")
    write_glossary(config, WRITTEN)
    changed, conflicts = take_rules(config, library)
    assert changed == []
    assert conflicts == [
        "glossary.txt: Perrison -> Peerson is not used, because perrison is replaced by Pearson "
        "(homescribe replaced remove 1)."
    ]
    assert text(library) == "Doctor Pearson is here."
    assert len(library.replacements()) == 2  # the second is not stored twice
    library.remove_replacement(1)
    take_rules(config, library)
    assert text(library) == "Doctor Peerson is here."


# --- Commands ----------------------------------------------------------------------------------------


@pytest.mark.models
def test_a_run_has_the_names_and_says_which_have_no_room(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOMESCRIBE_CONFIG", str(tmp_path / "none.toml"))
    names = tmp_path / "names.txt"
    names.write_text("quick -> rapid\n" + "".join(f"Peerson {n}\n" for n in range(200)))
    recording = demo.samples() / "fox-20s.mp3"
    options = ["--library", tmp_path / "library", "--model", "demo", "--glossary", names]
    command = list(map(str, ["transcribe", recording, *options, "-o", tmp_path]))
    assert run(command) == 0
    err = capsys.readouterr().err
    assert "New in names.txt: 1 rule. To undo: homescribe" in err
    assert err.count("names.txt has 201 names, and Whisper's prompt has room for the first ") == 1
    room = int(err.partition("for the first ")[2].split(".")[0])
    with Library(tmp_path / "library") as library:
        [record] = library.items()
        transcript = library.transcript(record.item.key)
    assert "rapid brown fox" in transcript.text
    prompt = transcript.options.initial_prompt
    assert prompt.endswith("Peerson 1, Peerson 0, rapid.")
    assert prompt.startswith(f"Peerson {room - 2}, ")
    assert run(command) == 0  # nothing is pending: no word about it
    assert "room for" not in capsys.readouterr().err


# --- The page ----------------------------------------------------------------------------------------


@pytest.fixture
def client(tmp_path):
    with (
        serving(tmp_path / "library") as address,
        httpx.Client(base_url=address, headers=AUTHORIZED, timeout=30) as client,
    ):
        yield client


def test_the_page_writes_the_glossary_of_the_library(client, tmp_path):
    file = tmp_path / "library" / "glossary.txt"
    assert client.get("/api/glossary").json() == {
        "text": "",
        "file": str(file),
        "names": 0,
        "rules": 0,
        "note": None,
        "can_change": True,
    }
    saved = client.put("/api/glossary", json={"text": WRITTEN}).json()
    assert (saved["names"], saved["rules"], saved["note"]) == (4, 2, None)
    assert file.read_text(encoding="utf-8") == WRITTEN
    assert "Perrison -&gt; Peerson" in client.get("/add").text
    client.put("/api/glossary", json={"text": " \n"})
    assert not file.exists()


def test_the_page_says_what_has_no_room_and_what_is_not_valid(client, tmp_path):
    many = "\n".join(f"Kubernetes {number}" for number in range(200))
    saved = client.put("/api/glossary", json={"text": many}).json()
    assert saved["note"].startswith("glossary.txt has 200 names, and Whisper's prompt has room for")
    refused = client.put("/api/glossary", json={"text": "Ann\na ->"})
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == "glossary.txt, line 2: 'a ->' is no rule."
    file = tmp_path / "library" / "glossary.txt"
    assert file.read_text() == f"{many}\n"
    file.write_text("a ->\n")  # by an editor
    assert "line 1: 'a ->' is no rule" in client.get("/api/glossary").json()["note"]
    assert client.get("/add").status_code == 200


@pytest.mark.parametrize(("content", "can_change"), [(None, True), (bytes(2000), False)])
def test_the_dialog_opens_although_the_glossary_cannot_be_read(tmp_path, content, can_change):
    file = tmp_path / "names.txt"
    if content is not None:
        file.write_bytes(content)
    with (
        serving(tmp_path / "library", glossary=file) as address,
        httpx.Client(base_url=address, headers=AUTHORIZED, timeout=30) as client,
    ):
        page = client.get("/add")
        assert page.status_code == 200
        assert "names.txt" in page.text.partition("data-glossary-note")[2].partition("</p>")[0]
        found = client.get("/api/glossary").json()
        assert (found["text"], found["can_change"]) == ("", can_change)
        written = client.put("/api/glossary", json={"text": "Ann Lee"})
    if can_change:
        assert (written.status_code, file.read_text()) == (200, "Ann Lee\n")
    else:
        assert (written.status_code, file.read_bytes()) == (400, content)


def test_writing_the_glossary_needs_the_token(client, tmp_path):
    answer = httpx.put(client.base_url.join("/api/glossary"), json={"text": "Ann"})
    assert answer.status_code == 403
    assert not (tmp_path / "library" / "glossary.txt").exists()
