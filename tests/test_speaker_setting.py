"""The settings of speakers: what is accepted, and what is refused before anything is downloaded."""

import sys
from dataclasses import replace

import pytest

from homescribe import assemble, config
from homescribe.config import Config
from homescribe.core import TranscriptionOptions
from homescribe.errors import SetupError, UserError
from homescribe.speakers.speaker_setting import SpeakerSetting, parse_speakers, speakers_option


@pytest.mark.parametrize(
    ("text", "setting", "spelling"),
    [
        ("auto", SpeakerSetting(1, None), "auto"),
        (" Auto ", SpeakerSetting(1, None), "auto"),
        ("2", SpeakerSetting(2, 2), "2"),
        ("2-4", SpeakerSetting(2, 4), "2-4"),
        ("2 – 4", SpeakerSetting(2, 4), "2-4"),
        ("3-3", SpeakerSetting(3, 3), "3"),
        ("channels", SpeakerSetting(2, 2, channels=True), "channels"),
    ],
)
def test_settings_and_their_one_spelling(text, setting, spelling):
    assert parse_speakers(text) == setting
    assert str(setting) == spelling


@pytest.mark.parametrize(
    "text", ["0", "4-2", "0-3", "-1", "2-", "two", "1.5", "1000", "auto2", "٢"]
)
def test_other_values_are_refused_in_one_line(text):
    with pytest.raises(UserError, match=r"speakers = .* is not valid") as caught:
        parse_speakers(text)
    assert "auto" in caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint


def test_a_limit_of_speakers_is_named_in_one_line():
    assert parse_speakers("2-30") == SpeakerSetting(2, 30)
    for text in ("31", "99", "2-31"):
        with pytest.raises(UserError, match=r"too many: at most 30 are told apart\.$"):
            parse_speakers(text)


@pytest.mark.parametrize("text", [None, "", "none", " None "])
def test_none_turns_it_off(text):
    assert speakers_option(text) is None


def test_a_number_in_config_toml_needs_no_quotes(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text("speakers = 2\n")
    loaded, _ = config.load({}, {"HOMESCRIBE_CONFIG": str(file)})
    assert loaded.transcription().speakers == "2"


def test_the_environment_names_models_and_the_setting(tmp_path):
    environ = {
        "HOMESCRIBE_CONFIG": str(tmp_path / "none"),
        "HOMESCRIBE_SPEAKERS": "AUTO",
        "HOMESCRIBE_SPEAKER_SEGMENTATION": "/models/segmentation.onnx",
        "HOMESCRIBE_SPEAKER_EMBEDDING": "/models/voices.onnx",
    }
    loaded, _ = config.load({}, environ)
    assert loaded.transcription().speakers == "auto"
    models = assemble.speaker_models(loaded)
    assert [str(models.segmentation), str(models.embedding)] == [
        "/models/segmentation.onnx",
        "/models/voices.onnx",
    ]


def test_a_bad_value_is_refused_before_anything_else():
    with pytest.raises(UserError, match="'many' is not valid"):
        assemble.check_options(Config(speakers="many"))
    with pytest.raises(UserError, match="'many' is not valid"):
        assemble.check_options(Config(), TranscriptionOptions(speakers="many"))


def test_a_path_without_a_file_is_refused(tmp_path):
    missing = Config(speakers="2", speaker_embedding=tmp_path / "voices.onnx")
    with pytest.raises(UserError, match=r"speaker_embedding = .*voices.onnx names no file"):
        assemble.check_options(missing)
    with pytest.raises(UserError, match=r"speaker_segmentation = .* names a folder"):
        assemble.check_options(Config(speakers="2", speaker_segmentation=tmp_path))
    assemble.check_options(replace(missing, speakers=None))
    assemble.check_options(replace(missing, speakers="channels"))  # compares no voices


def test_a_backend_of_another_package_must_say_that_it_finds_speakers(monkeypatch):
    class Rented:
        default_engine, default_model = "faster-whisper", "tiny"

    load = assemble.plugins.load
    monkeypatch.setattr(
        "homescribe.plugins.load",
        lambda group, name: Rented if name == "rented" else load(group, name),
    )
    for speakers in ("auto", "channels"):
        with pytest.raises(UserError, match="'rented' cannot tell speakers apart"):
            assemble.check_options(Config(backend="rented", speakers=speakers))
    assemble.check_options(Config(backend="rented"))
    Rented.finds_speakers = True
    assemble.check_options(Config(backend="rented", speakers="auto"))


def test_a_missing_extra_is_named_before_anything_is_downloaded(monkeypatch):
    monkeypatch.setitem(sys.modules, "sherpa_onnx", None)
    with pytest.raises(SetupError, match="--speakers needs the package 'sherpa_onnx'") as caught:
        assemble.check_options(Config(speakers="auto"))
    assert "pip install 'homescribe[speakers]'" in caught.value.hint
    assemble.check_options(Config())
    assemble.check_options(Config(speakers="channels"))
