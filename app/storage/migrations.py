"""The schema of a database file: made, brought up to date, or refused."""

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from importlib.resources import files
from pathlib import Path

from ..errors import StartError
from .event_id_migration import pack_event_ids
from .event_ids import digest_of
from .file_header import APPLICATION_ID

READ_PRAGMA = {
    "application_id": "pragma application_id",
    "user_version": "pragma user_version",
}

MIGRATIONS: tuple[str | Callable[[sqlite3.Connection], None], ...] = (
    """
    insert into setting (name, value) values ('keep_query', 'off'), ('collapse_ids', 'off');
    alter table behavior rename to behavior_by_day;
    create table behavior (
      block      integer not null,
      user_id    integer not null references user (id),
      seq        integer not null,
      timestamp  integer not null check (timestamp >= 0),
      referer_id integer not null references referer (id),
      primary key (block, user_id, seq)
    ) strict, without rowid;
    insert into behavior (block, user_id, seq, timestamp, referer_id)
    select timestamp / 14400,
           user_id,
           row_number() over (partition by timestamp / 14400, user_id order by day, seq),
           timestamp,
           referer_id
    from behavior_by_day;
    drop table behavior_by_day;
    create table page_summary (
      level    integer not null check (level between 0 and 3),
      span     integer not null,
      views    blob    not null,
      visitors blob    not null,
      users    blob    not null,
      checksum integer not null,
      primary key (level, span)
    ) strict;
    create table page_sealing (
      level integer not null,
      span  integer not null,
      token integer not null,
      primary key (level, span)
    ) strict, without rowid;
    """,
    """
    alter table key add column last_used_at integer;
    """,
    """
    create table user_call (
      day       integer not null,
      type      text    not null
        check (type in ('userinfo', 'create_saas_user', 'create_tenant_user')),
      tenant_id integer not null references tenant (id),
      user_id   integer not null references user (id),
      count     integer not null check (count > 0),
      primary key (day, type, tenant_id, user_id)
    ) strict, without rowid;
    create table kept (
      data  text    not null primary key
        check (data in ('histories', 'page_statistics', 'counts', 'event_ids')),
      since integer not null
    ) strict, without rowid;
    create table audit (
      id      integer primary key,
      at      integer not null,
      action  text    not null
        check (action in ('backup', 'prune', 'erase-user', 'erase-tenant')),
      details text    not null
    ) strict;
    create index audit_action on audit (action, at);
    """,
    """
    create table session (
      token_hash blob    not null primary key,
      key_id     integer not null references key (id),
      created_at integer not null,
      expires_at integer not null
    ) strict, without rowid;
    create table link (
      id         integer primary key,
      name       text    not null,
      token_hash blob    not null unique,
      tenant_id  integer references tenant (id),
      created_at integer not null,
      expires_at integer not null,
      revoked_at integer,
      last_used_at integer
    ) strict;
    create unique index link_name on link (name) where revoked_at is null;
    create table period_summary (
      data     text    not null check (data in ('users', 'members', 'actions', 'callers')),
      monthly  integer not null check (monthly in (0, 1)),
      period   integer not null,
      token    integer not null,
      content  blob,
      checksum integer,
      primary key (data, monthly, period),
      check (not (monthly and data in ('actions', 'callers'))),
      check ((content is null) = (checksum is null))
    ) strict;
    create index active_users_put on active_users (monthly, period, put) where put is not null;
    """,
    """
    create index session_expires_at on session (expires_at);
    alter table audit rename to audit_of_fewer_actions;
    create table audit (
      id      integer primary key,
      at      integer not null,
      action  text    not null
        check (
          action in ('backup', 'prune', 'erase-user', 'erase-tenant', 'delete', 'reset-cutoffs')
        ),
      details text    not null
    ) strict;
    insert into audit (id, at, action, details)
    select id, at, action, details from audit_of_fewer_actions;
    drop table audit_of_fewer_actions;
    create index audit_action on audit (action, at);
    """,
    # What was deleted by SQLites that overwrite nothing is in the free pages: they are filled with
    # zeros first. Digests in order make full pages.
    """
    create table filler (content blob);
    insert into filler (content)
    with recursive piece (number) as (
      select 0
      union all
      select number + 1
      from piece
      where number <= (select freelist_count / 256 from pragma_freelist_count)
    )
    select zeroblob(256 * (select page_size from pragma_page_size))
    from piece
    where (select freelist_count from pragma_freelist_count) > 0;
    drop table filler;
    alter table event_id rename to event_id_in_clear;
    create table event_id (
      digest blob    not null primary key
        check (length(digest) = 16),
      day    integer not null
    ) strict, without rowid;
    insert into event_id (digest, day)
    select digest_of(source, id) as digest, day
    from event_id_in_clear
    order by digest;
    drop table event_id_in_clear;
    """,
    """
    alter table behavior rename to behavior_with_timestamp;
    create table behavior (
      block      integer not null check (block >= 0),
      user_id    integer not null references user (id),
      second     integer not null check (second between 0 and 14399),
      seq        integer not null,
      referer_id integer not null references referer (id),
      timestamp  integer generated always as (block * 14400 + second) virtual,
      primary key (block, user_id, second, seq)
    ) strict, without rowid;
    insert into behavior (block, user_id, second, seq, referer_id)
    select block,
           user_id,
           timestamp - block * 14400,
           row_number() over (partition by block, user_id, timestamp order by seq) - 1,
           referer_id
    from behavior_with_timestamp
    order by block, user_id, timestamp, seq;
    drop table behavior_with_timestamp;
    alter table call_count rename to call_count_of_texts;
    create table call_count (
      type      integer not null check (type between 0 and 3),
      day       integer not null,
      tenant_id integer not null references tenant (id),
      count     integer not null check (count > 0),
      primary key (type, day, tenant_id)
    ) strict, without rowid;
    insert into call_count (type, day, tenant_id, count)
    select case type
             when 'userinfo' then 0
             when 'create_tenant' then 1
             when 'create_saas_user' then 2
             when 'create_tenant_user' then 3
           end as number,
           day, tenant_id, count
    from call_count_of_texts
    order by number, day, tenant_id;
    drop table call_count_of_texts;
    alter table user_call rename to user_call_of_texts;
    create table user_call (
      day       integer not null,
      type      integer not null check (type in (0, 2, 3)),
      tenant_id integer not null references tenant (id),
      user_id   integer not null references user (id),
      count     integer not null check (count > 0),
      primary key (day, type, tenant_id, user_id)
    ) strict, without rowid;
    alter table active_user rename to active_user_without_calls;
    create table active_user (
      monthly   integer not null check (monthly in (0, 1)),
      period    integer not null,
      tenant_id integer not null references tenant (id),
      env_id    integer not null check (env_id >= 0),
      user_id   integer not null references user (id),
      calls     integer not null
        check (calls >= 0 and (not monthly or calls = 0)),
      primary key (monthly, period, tenant_id, env_id, user_id)
    ) strict, without rowid;
    insert into active_user (monthly, period, tenant_id, env_id, user_id, calls)
    select monthly, period, active.tenant_id, env_id, active.user_id, coalesce(count, 0)
    from (
      select monthly, period, tenant_id, env_id, user_id,
             row_number() over (
               partition by monthly, period, tenant_id, user_id
               order by env_id
             ) as place
      from active_user_without_calls
    ) as active
    left join user_call_of_texts as call
      on place = 1
      and not monthly
      and call.day = period
      and call.type = 'userinfo'
      and call.tenant_id = active.tenant_id
      and call.user_id = active.user_id
    order by monthly, period, active.tenant_id, env_id, active.user_id;
    drop table active_user_without_calls;
    insert into user_call (day, type, tenant_id, user_id, count)
    select day,
           case type
             when 'userinfo' then 0
             when 'create_saas_user' then 2
             when 'create_tenant_user' then 3
           end as number,
           tenant_id, user_id, count
    from user_call_of_texts
    where type <> 'userinfo'
      or (day, tenant_id, user_id) not in (
        select period, tenant_id, user_id
        from active_user
        where monthly = 0 and calls > 0
      )
    order by day, number, tenant_id, user_id;
    drop table user_call_of_texts;
    """,
    pack_event_ids,
)
"""SQL scripts and functions; the first leads from schema version 1 to 2, and so on."""


def newest_version() -> int:
    """Return the version of the schema that this program makes."""
    return len(MIGRATIONS) + 1


NEWEST = newest_version()

FIXED = {"time_zone": "UTC", "keep_query": "off", "collapse_ids": "off"}
"""The settings that are fixed when the database is made, with what they are if not given."""

REMEDIES = {
    "time_zone": "use another database",
    "keep_query": "change it with `saasus-analysis summaries rebuild`",
    "collapse_ids": "change it with `saasus-analysis summaries rebuild`",
}
"""What to do about a start with another value."""


def prepare(
    connection: sqlite3.Connection,
    path: Path,
    wanted: Mapping[str, str | None],
    *,
    create: bool = True,
    migrate: bool = False,
) -> dict[str, str]:
    """Return the settings that are fixed in a database.

    Makes the schema if there is none, or migrates it, where that is wanted. Raises StartError, and
    leaves the database as it is, if its schema is not that of this program then.
    """
    connection.execute("begin immediate")
    try:
        version = read_version(connection)
        newest = newest_version()
        if version == 0 and not connection.execute("select 1 from sqlite_schema").fetchone():
            if not create:
                raise StartError(f"there is no database in {path} yet: it is empty")
            _run_script(connection, files(__package__).joinpath("schema.sql").read_text())
            fixed = [(name, wanted[name] or default) for name, default in FIXED.items()]
            connection.executemany("insert into setting (name, value) values (?, ?)", fixed)
        elif _pragma(connection, "application_id") != APPLICATION_ID:
            raise StartError(f"{path} is a database of another program")
        elif version > newest:
            raise StartError(
                f"{path} was made by a newer version of this program "
                f"(schema {version}, known here up to {newest}); nothing was changed"
            )
        elif version < newest and not migrate:
            raise StartError(older(path, version))
        elif version < newest:
            _back_up(path, version)
            connection.create_function("digest_of", 2, digest_of, deterministic=True)
            for step in MIGRATIONS[version - 1 :]:
                if callable(step):
                    step(connection)
                else:
                    _run_script(connection, step)
        if version != newest:
            connection.execute(f"pragma application_id = {APPLICATION_ID}")
            connection.execute(f"pragma user_version = {newest}")
        stored = dict(connection.execute("select name, value from setting"))
        for name, value in wanted.items():
            if value not in (None, stored[name]):
                raise StartError(
                    f"{name}: {path} was made with {stored[name]}, which a start does not change "
                    f"to {value}; leave the setting out, or {REMEDIES[name]}"
                )
        connection.commit()
    finally:
        if connection.in_transaction:
            connection.rollback()
    # Last, so that what is refused is not changed.
    _use_wal(connection)
    read_version(connection)  # makes the files that are open from now on
    return stored


def older(path: Path, version: int) -> str:
    """Return what is said of a database of an older version where it is not to be migrated."""
    return (
        f"{path} was made by an older version of this program (schema {version}, needed is "
        f"{newest_version()}); `saasus-analysis migrate` brings it up to date, with a copy of it "
        "beside, and so does the next start of `serve`"
    )


def read_version(connection: sqlite3.Connection) -> int:
    """Return the version of the schema of a database, as a transaction sees it."""
    return _pragma(connection, "user_version")


def copy_before(path: Path, version: int) -> Path:
    """Return where a migration leaves a copy of a database as it was with a version."""
    return path.with_name(f"{path.name}.schema-{version}.backup")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch a database to WAL, which fails at once where another process is about to do the same.

    A transaction waits for that, as long as the connection waits for others.
    """
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            connection.execute("begin exclusive")
            connection.rollback()
        else:
            return


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(READ_PRAGMA[name]).fetchone()
    return int(value)


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run a script inside the transaction that is open (`executescript` would commit it)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def _back_up(path: Path, version: int) -> None:
    """Copy the database as it is before a migration; the copy gets its name when it is whole."""
    target = copy_before(path, version)
    part = target.with_name(f"{target.name}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as copy:
            source.backup(copy)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
