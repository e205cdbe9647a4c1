"""Libraries as an older version of homescribe would have written them."""

import sqlite3
from contextlib import closing

from homescribe.library import migrations


def make_older(path, version):
    """Give the library file at `path` the schema of `version`, without what that one could not store."""
    newer = path.with_name("newer.db")
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    path.rename(newer)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for migration in migrations.MIGRATIONS[:version]:
            migration(db)
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("ATTACH ? AS newer", (str(newer),))
        tables = db.execute(
            "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE '%_fts%' "
            "AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        for (table,) in tables:
            columns = [
                f'"{name}"'
                for (name,) in db.execute(
                    "SELECT old.name FROM pragma_table_info(?1, 'main') AS old "
                    "JOIN pragma_table_info(?1, 'newer') AS new ON old.name = new.name",
                    (table,),
                )
            ]
            names = ", ".join(columns)
            db.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM newer.{table}")
    newer.unlink()
