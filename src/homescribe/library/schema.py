"""The tables of the library, as the SQL of each schema version.

A published version is never edited: a change is a new version here and a function in migrations.py.
docs/reference/library-schema.md documents the schema.
"""

from homescribe.core import HOUR

APPLICATION_ID = 0x686F7363  # "hosc", in the header of every library

# Seconds from now that a wait lasts at most. A stored wait beyond BELIEVED_WAIT was stored while the clock of
# this machine was ahead, and is over.
MAX_WAIT = 24 * HOUR
BELIEVED_WAIT = 25 * HOUR
PERMANENT_WAIT = 30 * 24 * HOUR  # after which a refusal is checked again

# Whether a transcript is captions that a run replaces. It replaces neither what a person corrected nor what
# belongs to an ignored item.
AWAITS_UPGRADE = """transcripts.upgrade AND ignored.item_id IS NULL
                AND NOT EXISTS (
                    SELECT 1 FROM corrections
                    WHERE corrections.item_id = transcripts.item_id AND corrections.position IS NOT NULL
                )
                AND NOT EXISTS (
                    SELECT 1 FROM speaker_corrections
                    WHERE speaker_corrections.item_id = transcripts.item_id
                )"""
# Whether an item has a transcript that runs do not replace.
IS_DONE = f"transcripts.item_id IS NOT NULL AND NOT ({AWAITS_UPGRADE})"

# The state of an item at the Unix time {now}, and the tables it is read from. A published view contains this
# text: to change it, keep the old text for that view, and create the view again in a new version.
ITEM_STATE = f"""CASE
            WHEN {IS_DONE} THEN 'done'
            WHEN calls.item_id IS NOT NULL THEN 'in flight'
            WHEN ignored.item_id IS NOT NULL THEN 'ignored'
            WHEN failures.permanent AND failures.retry_at IS NULL
                OR failures.retry_at > {{now}} AND failures.retry_at <= {{now}}
                    + CASE WHEN failures.permanent THEN {PERMANENT_WAIT:.0f} ELSE 0 END + {BELIEVED_WAIT:.0f}
                THEN 'failed'
            ELSE 'pending'
        END"""
ITEM_STATE_17 = f"""CASE
            WHEN transcripts.item_id IS NOT NULL THEN 'done'
            WHEN calls.item_id IS NOT NULL THEN 'in flight'
            WHEN ignored.item_id IS NOT NULL THEN 'ignored'
            WHEN failures.permanent AND failures.retry_at IS NULL
                OR failures.retry_at > {{now}} AND failures.retry_at <= {{now}}
                    + CASE WHEN failures.permanent THEN {PERMANENT_WAIT:.0f} ELSE 0 END + {BELIEVED_WAIT:.0f}
                THEN 'failed'
            ELSE 'pending'
        END"""
ITEM_STATE_9 = f"""CASE
            WHEN transcripts.item_id IS NOT NULL THEN 'done'
            WHEN calls.item_id IS NOT NULL THEN 'in flight'
            WHEN failures.permanent AND failures.retry_at IS NULL
                OR failures.retry_at > {{now}} AND failures.retry_at <= {{now}}
                    + CASE WHEN failures.permanent THEN {PERMANENT_WAIT:.0f} ELSE 0 END + {BELIEVED_WAIT:.0f}
                THEN 'failed'
            ELSE 'pending'
        END"""
ITEM_STATE_6 = f"""CASE
            WHEN transcripts.item_id IS NOT NULL THEN 'done'
            WHEN calls.item_id IS NOT NULL THEN 'in flight'
            WHEN failures.permanent
                OR failures.retry_at > {{now}} AND failures.retry_at <= {{now}} + {BELIEVED_WAIT:.0f}
                THEN 'failed'
            ELSE 'pending'
        END"""
ITEM_STATE_1 = """CASE
            WHEN transcripts.item_id IS NOT NULL THEN 'done'
            WHEN calls.item_id IS NOT NULL THEN 'in flight'
            WHEN failures.permanent OR failures.retry_at > {now}
                THEN 'failed'
            ELSE 'pending'
        END"""
STATE_TABLES_1 = """items
    LEFT JOIN transcripts USING (item_id)
    LEFT JOIN calls USING (item_id)
    LEFT JOIN failures USING (item_id)"""
STATE_TABLES = f"{STATE_TABLES_1}\n    LEFT JOIN ignored USING (item_id)"
NOW = "(julianday('now') - 2440587.5) * 86400"  # as a Unix time

VERSION_1 = (
    # A channel, playlist, feed, folder or single recording that was added.
    """
    CREATE TABLE sources (
        source_id INTEGER PRIMARY KEY,
        url TEXT NOT NULL UNIQUE,
        source TEXT NOT NULL,
        title TEXT NOT NULL,
        added_at REAL NOT NULL,
        listed_at REAL NOT NULL
    )
    """,
    """
    CREATE TABLE items (
        item_id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        source TEXT NOT NULL,
        id TEXT NOT NULL,
        url TEXT NOT NULL,
        title TEXT NOT NULL,
        channel TEXT,
        channel_id TEXT,
        duration REAL,
        upload_date TEXT,
        language TEXT,
        description TEXT,
        chapters TEXT,
        media_url TEXT,
        added_at REAL NOT NULL
    )
    """,
    """
    CREATE TABLE source_items (
        source_id INTEGER NOT NULL REFERENCES sources(source_id) ON DELETE CASCADE,
        item_id INTEGER NOT NULL REFERENCES items(item_id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        PRIMARY KEY (source_id, item_id)
    )
    """,
    "CREATE INDEX source_items_item_id ON source_items (item_id)",
    """
    CREATE TABLE transcripts (
        item_id INTEGER PRIMARY KEY REFERENCES items(item_id) ON DELETE CASCADE,
        engine TEXT NOT NULL,
        model TEXT NOT NULL,
        language TEXT NOT NULL,
        duration REAL NOT NULL,
        seconds REAL NOT NULL,
        done_at REAL NOT NULL
    )
    """,
    """
    CREATE TABLE segments (
        segment_id INTEGER PRIMARY KEY,
        item_id INTEGER NOT NULL REFERENCES transcripts(item_id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        start REAL NOT NULL,
        "end" REAL NOT NULL,
        text TEXT NOT NULL,
        avg_logprob REAL,
        no_speech_prob REAL,
        compression_ratio REAL,
        temperature REAL,
        words TEXT,
        flags TEXT,
        UNIQUE (item_id, position)
    )
    """,
    """
    CREATE TABLE failures (
        item_id INTEGER PRIMARY KEY REFERENCES items(item_id) ON DELETE CASCADE,
        attempts INTEGER NOT NULL,
        error TEXT NOT NULL,
        hint TEXT NOT NULL,
        permanent INTEGER NOT NULL,
        retry_at REAL,
        failed_at REAL NOT NULL
    )
    """,
    """
    CREATE TABLE calls (
        item_id INTEGER PRIMARY KEY REFERENCES items(item_id) ON DELETE CASCADE,
        backend TEXT NOT NULL,
        call_id TEXT NOT NULL,
        submitted_at REAL NOT NULL,
        metadata TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE sites (
        site TEXT PRIMARY KEY,
        blocked_until REAL NOT NULL,
        reason TEXT NOT NULL
    )
    """,
    # The text that is indexed: passages.py.
    """
    CREATE TABLE passages (
        passage_id INTEGER PRIMARY KEY,
        item_id INTEGER NOT NULL REFERENCES items(item_id) ON DELETE CASCADE,
        first_segment INTEGER,
        last_segment INTEGER,
        text TEXT NOT NULL
    )
    """,
    "CREATE INDEX passages_item_id ON passages (item_id)",
    # Combining marks (Mn, Mc) count as letters: else Hindi and Thai words are split at their vowel signs.
    # The prefix index, an eighth of the file, makes search fast while a word is typed.
    # Datasette and sqlite-utils recognize the index by `content="passages"`, in exactly this spelling.
    """
    CREATE VIRTUAL TABLE passages_fts USING fts5 (
        text,
        content="passages",
        content_rowid="passage_id",
        tokenize="unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'",
        prefix='3'
    )
    """,
    """
    CREATE TRIGGER passages_inserted AFTER INSERT ON passages BEGIN
        INSERT INTO passages_fts (rowid, text) VALUES (new.passage_id, new.text);
    END
    """,
    """
    CREATE TRIGGER passages_deleted AFTER DELETE ON passages BEGIN
        INSERT INTO passages_fts (passages_fts, rowid, text)
        VALUES ('delete', old.passage_id, old.text);
    END
    """,
    """
    CREATE TRIGGER passages_updated AFTER UPDATE ON passages BEGIN
        INSERT INTO passages_fts (passages_fts, rowid, text)
        VALUES ('delete', old.passage_id, old.text);
        INSERT INTO passages_fts (rowid, text) VALUES (new.passage_id, new.text);
    END
    """,
    # For people who open the file with other programs.
    f"""
    CREATE VIEW item_states AS
    SELECT items.item_id, items.key, items.title, items.channel, items.upload_date, items.url,
        {ITEM_STATE_1.format(now=NOW)} AS state,
        failures.attempts, failures.error,
        datetime(failures.retry_at, 'unixepoch') AS retry_at,
        datetime(items.added_at, 'unixepoch') AS added_at,
        datetime(transcripts.done_at, 'unixepoch') AS done_at,
        coalesce(transcripts.duration, items.duration) AS duration
    FROM {STATE_TABLES_1}
    """,
    """
    CREATE VIEW transcripts_text AS
    SELECT items.item_id, items.key, items.title, items.channel, items.upload_date, items.url,
        transcripts.language, transcripts.duration, transcripts.engine, transcripts.model,
        trim((
            SELECT group_concat(text, '') FROM (
                SELECT text FROM segments WHERE segments.item_id = transcripts.item_id ORDER BY position
            )
        )) AS text
    FROM transcripts JOIN items USING (item_id)
    """,
)

# One row for each finished call to a paid backend.
VERSION_2 = (
    """
    CREATE TABLE usages (
        call_id TEXT PRIMARY KEY,
        key TEXT NOT NULL,
        backend TEXT NOT NULL,
        engine TEXT NOT NULL,
        model TEXT NOT NULL,
        gpu TEXT NOT NULL,
        gpu_seconds REAL NOT NULL,
        overhead_seconds REAL NOT NULL,
        boots INTEGER NOT NULL,
        audio_seconds REAL NOT NULL,
        dollars REAL NOT NULL,
        expected_dollars REAL NOT NULL,
        outcome TEXT NOT NULL,
        submitted_at REAL NOT NULL,
        finished_at REAL NOT NULL
    )
    """,
    "CREATE INDEX usages_key ON usages (key)",
)

# The number of words in each transcript: counting them takes seconds in a large library.
VERSION_3 = "ALTER TABLE transcripts ADD COLUMN words INTEGER NOT NULL DEFAULT 0"

# What a person corrected, beside what the engine wrote.
VERSION_4 = (
    """
    CREATE TABLE corrections (
        correction_id INTEGER PRIMARY KEY,
        item_id INTEGER NOT NULL REFERENCES items(item_id) ON DELETE CASCADE,
        position INTEGER,
        start REAL NOT NULL,
        "end" REAL NOT NULL,
        text TEXT NOT NULL,
        was_text TEXT NOT NULL,
        was_words TEXT,
        was_flags TEXT,
        corrected_at REAL NOT NULL
    )
    """,
    "CREATE INDEX corrections_item_id ON corrections (item_id, position)",
)

# Recordings in several languages, and what a reader should know about a transcript.
VERSION_5 = (
    "ALTER TABLE segments ADD COLUMN language TEXT",
    "ALTER TABLE transcripts ADD COLUMN skipped TEXT",
    "ALTER TABLE transcripts ADD COLUMN warnings TEXT",
)

# What an engine is working on, to know after a crash what may have caused it; and waits that a wrong clock
# stored are over.
VERSION_6 = (
    """
    CREATE TABLE engine_work (
        item_id INTEGER PRIMARY KEY REFERENCES items(item_id) ON DELETE CASCADE,
        active INTEGER NOT NULL,
        deaths INTEGER NOT NULL
    )
    """,
    "DROP VIEW item_states",
    f"""
    CREATE VIEW item_states AS
    SELECT items.item_id, items.key, items.title, items.channel, items.upload_date, items.url,
        {ITEM_STATE_6.format(now=NOW)} AS state,
        failures.attempts, failures.error,
        datetime(failures.retry_at, 'unixepoch') AS retry_at,
        datetime(items.added_at, 'unixepoch') AS added_at,
        datetime(transcripts.done_at, 'unixepoch') AS done_at,
        coalesce(transcripts.duration, items.duration) AS duration
    FROM {STATE_TABLES_1}
    """,
)

# Seconds of the segments in each language, so that lists and filters need not read the segments.
VERSION_7 = "ALTER TABLE transcripts ADD COLUMN languages TEXT"

# Passages with folded letters and joined compounds: while their texts are replaced, the index is not updated.
VERSION_8 = (
    "DROP TRIGGER passages_updated",
    "INSERT INTO passages_fts (passages_fts) VALUES ('rebuild')",
    """
    CREATE TRIGGER passages_updated AFTER UPDATE ON passages BEGIN
        INSERT INTO passages_fts (passages_fts, rowid, text)
        VALUES ('delete', old.passage_id, old.text);
        INSERT INTO passages_fts (rowid, text) VALUES (new.passage_id, new.text);
    END
    """,
)

# What a recording is known by beside its key (text/identities.py), and the keys that it has elsewhere.
# Permanent failures get a time of the next attempt, too.
VERSION_9 = (
    """
    CREATE TABLE identities (
        identity TEXT NOT NULL,
        item_id INTEGER NOT NULL REFERENCES items(item_id) ON DELETE CASCADE,
        PRIMARY KEY (identity, item_id)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX identities_item_id ON identities (item_id)",
    "ALTER TABLE items ADD COLUMN availability TEXT",
    f"UPDATE failures SET retry_at = failed_at + {PERMANENT_WAIT:.0f} WHERE permanent AND retry_at IS NULL",
    "DROP VIEW item_states",
    f"""
    CREATE VIEW item_states AS
    SELECT items.item_id, items.key, items.title, items.channel, items.upload_date, items.url,
        {ITEM_STATE_9.format(now=NOW)} AS state,
        failures.attempts, failures.error,
        datetime(failures.retry_at, 'unixepoch') AS retry_at,
        datetime(items.added_at, 'unixepoch') AS added_at,
        datetime(transcripts.done_at, 'unixepoch') AS done_at,
        coalesce(transcripts.duration, items.duration) AS duration
    FROM {STATE_TABLES_1}
    """,
)

# Which recordings of a source are left out: those before a date, and those that `add --latest` left out,
# by their keys and identities.
VERSION_10 = (
    "ALTER TABLE sources ADD COLUMN since TEXT",
    """
    CREATE TABLE left_out (
        source_id INTEGER NOT NULL REFERENCES sources(source_id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        PRIMARY KEY (source_id, name)
    ) WITHOUT ROWID
    """,
)

# The options that a transcript was made with, and those that a call in flight was submitted with.
VERSION_11 = (
    "ALTER TABLE transcripts ADD COLUMN options TEXT",
    "ALTER TABLE calls ADD COLUMN options TEXT",
)

# Of a call's dollars, those that are an upper bound, because no container measured it.
VERSION_12 = "ALTER TABLE usages ADD COLUMN unmetered_dollars REAL NOT NULL DEFAULT 0"

# Where the content of an item is on this disk: files with the same content are one item.
# An item that crashed the process twice is tried again only on request.
VERSION_13 = (
    """
    CREATE TABLE places (
        source_id INTEGER NOT NULL REFERENCES sources(source_id) ON DELETE CASCADE,
        url TEXT NOT NULL,
        item_id INTEGER NOT NULL REFERENCES items(item_id) ON DELETE CASCADE,
        title TEXT NOT NULL,
        channel TEXT,
        upload_date TEXT,
        position INTEGER NOT NULL,
        missing INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (source_id, url)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX places_item_id ON places (item_id)",
    "CREATE INDEX places_url ON places (url)",
    """
    INSERT OR IGNORE INTO places (source_id, url, item_id, title, channel, upload_date, position)
    SELECT min(source_id), url, item_id, title, channel, upload_date, 0
    FROM items JOIN source_items USING (item_id)
    WHERE source = 'file' AND typeof(url) = 'text' GROUP BY item_id
    """,
    "UPDATE failures SET retry_at = NULL WHERE permanent AND error LIKE 'The process died twice%'",
)

# Who speaks. A voice is a named person: it is known by the embeddings of the speakers that a person named.
# Passages state who speaks in them: bit n for the speaker at position n.
VERSION_14 = (
    "ALTER TABLE segments ADD COLUMN speaker TEXT",
    "ALTER TABLE transcripts ADD COLUMN turns TEXT",
    "CREATE TABLE voices (voice_id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL)",
    """
    CREATE TABLE speakers (
        item_id INTEGER NOT NULL REFERENCES transcripts(item_id) ON DELETE CASCADE,
        label TEXT NOT NULL,
        position INTEGER NOT NULL,
        seconds REAL NOT NULL,
        embedding_model TEXT NOT NULL,
        name TEXT,
        named_by TEXT,
        voice_id INTEGER REFERENCES voices(voice_id) ON DELETE SET NULL,
        PRIMARY KEY (item_id, label)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX speakers_name ON speakers (name)",
    "CREATE INDEX speakers_voice_id ON speakers (voice_id, named_by)",
    """
    CREATE TABLE speaker_embeddings (
        item_id INTEGER NOT NULL,
        label TEXT NOT NULL,
        embedding BLOB NOT NULL,
        PRIMARY KEY (item_id, label),
        FOREIGN KEY (item_id, label) REFERENCES speakers (item_id, label) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE rejected_voices (
        item_id INTEGER NOT NULL,
        label TEXT NOT NULL,
        voice_id INTEGER NOT NULL REFERENCES voices(voice_id) ON DELETE CASCADE,
        PRIMARY KEY (item_id, label, voice_id),
        FOREIGN KEY (item_id, label) REFERENCES speakers (item_id, label) ON DELETE CASCADE
    ) WITHOUT ROWID
    """,
    "CREATE INDEX rejected_voices_voice_id ON rejected_voices (voice_id)",
    "CREATE TABLE namings (naming_id INTEGER PRIMARY KEY AUTOINCREMENT, named_at REAL NOT NULL)",
    """
    CREATE TABLE naming_changes (
        change_id INTEGER PRIMARY KEY,
        naming_id INTEGER NOT NULL REFERENCES namings(naming_id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        item_id INTEGER REFERENCES items(item_id) ON DELETE CASCADE,
        label TEXT,
        voice_id INTEGER,
        name TEXT,
        named_by TEXT
    )
    """,
    "CREATE INDEX naming_changes_naming_id ON naming_changes (naming_id)",
    "CREATE INDEX naming_changes_item_id ON naming_changes (item_id)",
    """
    CREATE TABLE passage_speakers (
        passage_id INTEGER PRIMARY KEY REFERENCES passages(passage_id) ON DELETE CASCADE,
        speakers INTEGER NOT NULL
    )
    """,
)

# Audio that is kept. The name of a file whose row is gone stands in `unused_audio` until the file is deleted.
VERSION_15 = (
    """
    CREATE TABLE kept_audio (
        item_id INTEGER PRIMARY KEY REFERENCES items(item_id) ON DELETE CASCADE,
        name TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        duration REAL,
        track INTEGER,
        kept_at REAL NOT NULL
    )
    """,
    "CREATE TABLE unused_audio (name TEXT PRIMARY KEY) WITHOUT ROWID",
    """
    CREATE TRIGGER kept_audio_deleted AFTER DELETE ON kept_audio BEGIN
        INSERT OR IGNORE INTO unused_audio (name) VALUES (old.name);
    END
    """,
)

# Exports at places where other files may be, too. `path` is folded: see written_files.py.
VERSION_16 = """
    CREATE TABLE written_files (
        path BLOB PRIMARY KEY,
        key TEXT NOT NULL,
        sha256 BLOB NOT NULL,
        written_at REAL NOT NULL
    ) WITHOUT ROWID
    """

# Items that are never transcribed, and titles that a person gave, beside what the source says.
VERSION_17 = (
    """
    CREATE TABLE ignored (
        item_id INTEGER PRIMARY KEY REFERENCES items(item_id) ON DELETE CASCADE,
        ignored_at REAL NOT NULL
    )
    """,
    """
    CREATE TABLE renamed (
        item_id INTEGER PRIMARY KEY REFERENCES items(item_id) ON DELETE CASCADE,
        listed_title TEXT NOT NULL,
        renamed_at REAL NOT NULL
    )
    """,
    "DROP VIEW item_states",
    f"""
    CREATE VIEW item_states AS
    SELECT items.item_id, items.key, items.title, items.channel, items.upload_date, items.url,
        {ITEM_STATE_17.format(now=NOW)} AS state,
        failures.attempts, failures.error,
        datetime(failures.retry_at, 'unixepoch') AS retry_at,
        datetime(items.added_at, 'unixepoch') AS added_at,
        datetime(transcripts.done_at, 'unixepoch') AS done_at,
        coalesce(transcripts.duration, items.duration) AS duration
    FROM {STATE_TABLES}
    """,
)

# Words that are replaced everywhere, and the segments concerned as the engine wrote them. The words of the
# search index.
VERSION_18 = (
    """
    CREATE TABLE replacements (
        replacement_id INTEGER PRIMARY KEY AUTOINCREMENT,
        old TEXT NOT NULL,
        new TEXT NOT NULL,
        match_case INTEGER NOT NULL,
        source_url TEXT,
        channel TEXT,
        made_at REAL NOT NULL
    )
    """,
    """
    CREATE TABLE replaced_segments (
        item_id INTEGER NOT NULL REFERENCES transcripts(item_id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        text TEXT NOT NULL,
        words TEXT,
        PRIMARY KEY (item_id, position)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE replacement_uses (
        replacement_id INTEGER NOT NULL REFERENCES replacements(replacement_id) ON DELETE CASCADE,
        item_id INTEGER NOT NULL,
        position INTEGER NOT NULL,
        number INTEGER NOT NULL,
        PRIMARY KEY (replacement_id, item_id, position),
        FOREIGN KEY (item_id, position) REFERENCES replaced_segments (item_id, position) ON DELETE CASCADE
    ) WITHOUT ROWID
    """,
    "CREATE INDEX replacement_uses_item_id ON replacement_uses (item_id, position)",
    "CREATE VIRTUAL TABLE passages_fts_words USING fts5vocab(passages_fts, row)",
)

# Speakers of earlier transcripts that were not found again, with when they spoke, and the speakers of lines
# that a person corrected.
VERSION_19 = (
    "ALTER TABLE speakers ADD COLUMN former_turns TEXT",
    """
    CREATE TABLE speaker_corrections (
        correction_id INTEGER PRIMARY KEY,
        item_id INTEGER NOT NULL REFERENCES items(item_id) ON DELETE CASCADE,
        start REAL NOT NULL,
        "end" REAL NOT NULL,
        text TEXT NOT NULL,
        label TEXT NOT NULL,
        UNIQUE (item_id, start, "end")
    )
    """,
)

# The transcripts that a podcast feed offers for an episode.
VERSION_20 = "ALTER TABLE items ADD COLUMN transcript_links TEXT"

# Captions: whether a run replaces them, and for which items they were requested.
VERSION_21 = (
    "ALTER TABLE transcripts ADD COLUMN upgrade INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX transcripts_captions ON transcripts (model) WHERE engine = 'captions'",
    """
    CREATE TABLE caption_requests (
        item_id INTEGER PRIMARY KEY REFERENCES items(item_id) ON DELETE CASCADE,
        attempts INTEGER NOT NULL,
        error TEXT,
        requested_at REAL NOT NULL,
        retry_at REAL
    )
    """,
    "DROP VIEW item_states",
    f"""
    CREATE VIEW item_states AS
    SELECT items.item_id, items.key, items.title, items.channel, items.upload_date, items.url,
        {ITEM_STATE.format(now=NOW)} AS state,
        CASE WHEN transcripts.engine = 'captions' THEN transcripts.model END AS captions,
        failures.attempts, failures.error,
        datetime(failures.retry_at, 'unixepoch') AS retry_at,
        datetime(items.added_at, 'unixepoch') AS added_at,
        datetime(transcripts.done_at, 'unixepoch') AS done_at,
        coalesce(transcripts.duration, items.duration) AS duration
    FROM {STATE_TABLES}
    """,
)

# Items to whose transcripts replacements are still to be applied.
VERSION_22 = """
    CREATE TABLE unreplaced_items (
        item_id INTEGER PRIMARY KEY REFERENCES items(item_id) ON DELETE CASCADE
    )
    """

# The speakers of lines as they were found, before a person corrected them.
VERSION_23 = (
    "ALTER TABLE transcripts ADD COLUMN found_turns TEXT",
    "ALTER TABLE speaker_corrections ADD COLUMN found TEXT",
)

# Rules of glossaries that became replacements.
VERSION_24 = """
    CREATE TABLE glossary_rules (
        old TEXT NOT NULL,
        new TEXT NOT NULL,
        PRIMARY KEY (old, new)
    ) WITHOUT ROWID
    """
