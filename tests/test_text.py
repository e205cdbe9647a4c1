"""Text from strangers is made safe, and values are formatted for people."""

import json

import pytest

from homescribe.cli.output import highlighted, print_json, print_table
from homescribe.text import language_names, sanitize
from homescribe.text.display import clock, count, realtime, size, span
from homescribe.text.language_names import language_code
from homescribe.text.sanitize import terminal_safe

# --- Display -------------------------------------------------------------------------------------


def test_durations_sizes_and_counts():
    assert [clock(s) for s in (0, 63, 3723, None, -1)] == ["0:00", "1:03", "1:02:03", "?", "0:00"]
    assert [span(8), span(720), span(166320)] == ["8 s", "12 min", "46.2 h"]
    assert span(4249.7 * 3600) == "4,249.7 h"
    assert [size(999), size(22_000_000), size(3e12)] == ["999 B", "22.0 MB", "3.0 TB"]
    assert [count(1, "item"), count(1430, "item")] == ["1 item", "1,430 items"]


def test_a_speed_is_never_shown_as_zero():
    speeds = [realtime(speed) for speed in (56.4, 9.96, 1.24, 0.4, 0.023, 0.0001)]
    assert [speed.split("x")[0] for speed in speeds] == ["56", "10", "1.2", "0.4", "0.02", "0.01"]


def test_terminal_text_keeps_every_script_and_no_control_character():
    assert (
        terminal_safe("日本語 \u0627\u0644\u0639 é 👩‍👩‍👧\x00\x9b\ud800")
        == "日本語 \u0627\u0644\u0639 é 👩‍👩‍👧"
    )
    assert highlighted("a \x1b b", [(2, 3)]).replace("\x1b[33m\x1b[1m\x1b[0m", "") == "a  b"


def test_json_has_no_character_that_controls_a_terminal(capsys):
    print_json({"url": "a\x1b\x9b\u202e\ud800é"})
    printed = capsys.readouterr().out
    assert not [c for c in printed if c in "\x1b\x9b\u202e\ud800"]
    assert json.loads(printed) == {"url": "a\x1b\x9b\u202e\ud800é"}


def test_a_table_for_programs_has_no_control_character(capsys):
    print_table(("a", "b"), [("x\x1b[31m", "y\tz\n")])
    assert capsys.readouterr().out == "x[31m\ty z \n"


def test_addresses_have_no_control_character():
    assert sanitize.url_safe(" https://x.example/\x1b]0;\x9b \ud800\u202e") == (
        "https://x.example/%1B]0;%C2%9B%20%3F%E2%80%AE"
    )


# --- Sanitize ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@host.example:8443/a/b?token=1&v=x#frag", "https://host.example:8443/a/b?v=x"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
        ("http://host.example:port/x", "(an address that cannot be read)"),
        ("http://[", "(an address that cannot be read)"),
    ],
)
def test_public_urls_have_no_secrets(url, shown):
    assert sanitize.public_url(url) == shown


@pytest.mark.parametrize(
    ("value", "date"),
    [
        ("20260301", "2026-03-01"),
        ("20260231", None),
        ("2026", None),
        (None, None),
        ("٢٠٢٦٠٣٠١", None),
    ],
)
def test_iso_dates(value, date):
    assert sanitize.iso_date(value) == date


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("en", "en"),
        ("pt_BR", "pt-BR"),
        (" de ", "de"),
        ("English (US)", None),
        ("", None),
        (None, None),
    ],
)
def test_language_tags(value, tag):
    assert sanitize.language_tag(value) == tag


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (
            "HTTPSConnection(host='h.example', port=443): Failed to establish a new connection: "
            "[Errno 111] Connection refused",
            "Failed to establish a new connection: Connection refused",
        ),
        ("<urllib3.connection.HTTPSConnection object at 0x7f01>: Failed", "Failed"),
        (
            "No space left on device: '/my own/cache/audio.249.webm.part'",
            "No space left on device: the recording",
        ),
        ("audio.mp3 is empty.", "the recording is empty"),
        ("https://host.example/audio.mp3?token=1 broke", "https://host.example/audio.mp3 broke"),
        ("The audio. It is gone.", "The audio. It is gone"),
    ],
)
def test_public_messages_have_no_internals(words, shown):
    assert sanitize.public_message(words) == shown


# --- Names of languages --------------------------------------------------------------------------


def test_languages_are_understood_as_openai_whisper_does():
    from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

    assert language_names.LANGUAGES == LANGUAGES
    known = {name: language_code(name) for name in [*LANGUAGES, *TO_LANGUAGE_CODE]}
    assert known == {**{code: code for code in LANGUAGES}, **TO_LANGUAGE_CODE}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *[("English", "en"), ("en-US", "en"), ("de_DE", "de"), ("de_AT.UTF-8", "de")],
        *[("GERMAN", "de"), (" haitian  creole ", "ht"), ("zh-Hant-TW", "zh"), ("nb_NO", "no")],
        *[("klingon", "klingon"), ("", ""), ("xx-YY", "xx-yy")],
    ],
)
def test_a_language_may_be_a_name_or_a_locale(name, code):
    assert language_code(name) == code
