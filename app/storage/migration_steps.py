"""The steps that migrate a database to the newest schema, one version at a time."""

import sqlite3
from collections.abc import Callable

from .event_ids import store_in_order

RENAME_DIGESTS = "alter table event_id rename to event_id_by_digest"

CREATE_ROWS = """
create table event_id (
  start integer primary key,
  wide  integer not null check (wide in (0, 1)),
  ids   blob    not null check (length(ids) > 0)
) strict
"""

CREATE_DAYS = """
create table event_id_day (
  day   integer primary key,
  count integer not null check (count > 0)
) strict
"""

SELECT_BY_DIGEST = "select digest, day from event_id_by_digest order by digest"

DROP_DIGESTS = "drop table event_id_by_digest"


def pack_event_ids(connection: sqlite3.Connection) -> None:
    """Convert the event ids of schema version 8 to version 9."""
    for statement in (RENAME_DIGESTS, CREATE_ROWS, CREATE_DAYS):
        connection.execute(statement)
    store_in_order(connection, connection.execute(SELECT_BY_DIGEST))
    connection.execute(DROP_DIGESTS)


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
    # Builds of SQLite that do not overwrite deleted data have left it in the free pages, so these
    # are filled with zeros first. Digests are inserted in order, since that makes full pages.
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
"""SQL scripts and functions; the first migrates from schema version 1 to 2, and so on."""
