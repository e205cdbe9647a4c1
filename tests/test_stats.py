"""Pages of items, channels, days, runs and speed."""

import sqlite3

import pytest

from homescribe import Call, Item, Library, Listing, PermanentError, Segment, Transcript
from homescribe.core import Usage
from homescribe.library import migrations


def item(name, **more):
    return Item("web", name, f"https://x.example/{name}", more.pop("title", name), **more)


ITEMS = [
    item("b", title="Beta", channel="One", duration=100.0, upload_date="2026-01-02"),
    item("a", title="alpha", channel="Two", duration=300.0, upload_date="2026-01-03"),
    item("c", title="Gamma", channel="One", upload_date="2026-01-01"),
    item("d", title="Delta", channel="One", duration=200.0),
    item("e", title="epsilon"),
]


def spoken(text, language="en", duration=60.0):
    return Transcript("e", "m", language, duration, (Segment(0.0, 5.0, text),))


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path) as library:
        library.record("ytdlp", Listing("https://x.example", "X", iter(())), ITEMS)
        library.save(ITEMS[0], spoken(" one two three"), 30.0)
        library.save(ITEMS[1], spoken("河边走", "zh", 240.0), 60.0)
        library.fail(ITEMS[2], PermanentError("Gone."))
        library.add_call(Call(ITEMS[3], "modal", 1.0, "fc-1"))
        yield library


def names(page):
    return "".join(record.item.id for record in page.records)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("listed", "bacde"),
        ("title", "abdec"),
        ("newest", "abcde"),
        ("oldest", "cbade"),
        ("longest", "adbce"),  # by the transcript, else as listed; unknown lengths last
        ("shortest", "bdace"),
        ("done", "abcde"),
    ],
)
def test_every_order(library, sort, order):
    assert names(library.page(sort=sort)) == order
    assert names(library.page(sort=sort, limit=2, offset=1)) == order[1:3]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"state": "done"}, "ba"),
        ({"state": "failed"}, "c"),
        ({"state": "in flight"}, "d"),
        ({"state": "pending"}, "e"),
        ({"channel": "one"}, "bcd"),
        ({"language": "zh"}, "a"),
        ({"source": "web", "since": "2026-01-02"}, "ba"),
        ({"source": "youtube"}, ""),
        ({"until": "2026-01-01"}, "c"),
    ],
)
def test_every_filter(library, filters, found):
    page = library.page(**filters, limit=1)
    assert page.total == len(found)
    assert names(library.page(**filters)) == found


def test_a_page_has_the_totals_of_all_pages(library):
    page = library.page(limit=1, offset=4)
    assert (names(page), page.total, page.audio_seconds) == ("e", 5, 60.0 + 240.0 + 200.0)
    assert names(library.page(offset=100)) == ""


def test_search_takes_the_same_filters(library):
    assert len(library.search("three", source="web", language="en")) == 1
    assert library.search("three", language="zh") == []
    assert library.search("three", source="youtube") == []


def test_channels_count_items_and_words(library):
    one, two = library.channels()
    assert (one.name, one.items, one.done, one.words, one.newest) == ("One", 3, 1, 3, "2026-01-02")
    assert (two.name, two.items, two.done, two.words) == ("Two", 1, 1, 3)  # a character is a word
    assert two.audio_seconds == 240.0
    assert library.languages() == ["en", "zh"]
    assert library.item_sources() == ["web"]


def at(library, times):
    """Set when transcripts were stored: Unix times by item."""
    with sqlite3.connect(library.path) as db:
        for name, time in times.items():
            db.execute(
                "UPDATE transcripts SET done_at = ? WHERE item_id = "
                "(SELECT item_id FROM items WHERE id = ?)",
                (time, name),
            )
    db.close()


def test_a_run_ends_at_a_long_gap(library):
    library.save(ITEMS[4], spoken("late"), 10.0)
    at(library, {"b": 10_000.0, "a": 10_100.0, "e": 90_000.0})
    late, early = library.runs()
    assert (early.items, early.began, early.ended) == (2, 9_970.0, 10_100.0)
    assert early.audio_seconds == 300.0
    assert early.speed == pytest.approx(300 / 130)
    assert (late.items, late.speed, late.dollars) == (1, 6.0, 0.0)
    assert library.pace() == pytest.approx(360 / 100)


@pytest.mark.parametrize(
    ("finished_at", "dollars"),
    [
        (10_050.0, (0.0, 1.0)),  # within the first run
        (9_400.0, (0.0, 1.0)),  # a failed call before its first transcript
        (9_300.0, (0.0, 0.0)),
        (10_450.0, (0.0, 1.0)),  # closer to the first run
        (10_650.0, (1.0, 0.0)),  # closer to the second run
        (11_500.0, (1.0, 0.0)),
        (11_700.0, (0.0, 0.0)),
    ],
)
def test_a_paid_call_is_counted_in_one_run(library, finished_at, dollars):
    library.save(ITEMS[4], spoken("late"), 0.0)
    at(library, {"b": 10_000.0, "a": 10_100.0, "e": 11_000.0})
    call = Call(ITEMS[0], "modal", 9_000.0, "fc-1")
    figures = (2.0, 1.0, 1, 60.0, 1.0, 1.0)
    library.add_usage(Usage(call, "whisper", "small", "L4", *figures, finished_at, "failed"))
    assert tuple(run.dollars for run in library.runs()) == dollars


def test_days_are_in_the_local_time_zone(library):
    noon = 1_800_000_000.0 // 86_400 * 86_400 + 43_200
    at(library, {"b": noon, "a": noon + 3 * 86_400})
    first, second = library.days()
    assert (first.items, first.audio_seconds, first.words) == (1, 60.0, 3)
    assert first.day < second.day


def test_an_empty_library_has_no_statistics(tmp_path):
    with Library(tmp_path) as library:
        assert library.page().total == 0
        assert library.channels() == library.days() == library.runs() == library.languages() == []
        assert library.pace() is None
        assert library.running() is None


def test_a_migration_counts_the_words_of_older_libraries(tmp_path):
    path = tmp_path / "library.db"
    db = sqlite3.connect(path, isolation_level=None)
    for migration in migrations.MIGRATIONS[:2]:
        migration(db)
    db.execute("PRAGMA user_version = 2")
    db.execute(
        "INSERT INTO items (item_id, key, source, id, url, title, channel, added_at) "
        "VALUES (7, 'web:x', 'web', 'x', 'https://x.example', 'X', 'C', 1.0)"
    )
    db.execute("INSERT INTO transcripts VALUES (7, 'e', 'm', 'en', 60.0, 1.0, 1.0)")
    db.executemany(
        "INSERT INTO segments (item_id, position, start, end, text) VALUES (7, ?, 0, 1, ?)",
        [(0, " one two"), (1, "河边 three.")],
    )
    db.close()
    with Library(tmp_path) as library:
        assert library.channels()[0].words == 5
        assert library.corrections("web:x") == {}
    assert (tmp_path / "library-v2.db").exists()
