"""Databases as older versions of the program made them."""

FACTS = """
alter table behavior rename to new_behavior;
create table behavior (
  block      integer not null,
  user_id    integer not null references user (id),
  seq        integer not null,
  timestamp  integer not null check (timestamp >= 0),
  referer_id integer not null references referer (id),
  primary key (block, user_id, seq)
) strict, without rowid;
insert into behavior (block, user_id, seq, timestamp, referer_id)
select block, user_id, row_number() over (partition by block, user_id order by second desc, seq),
       timestamp, referer_id
from new_behavior;
drop table new_behavior;
alter table call_count rename to new_call_count;
create table call_count (
  type      text    not null
    check (type in ('userinfo', 'create_tenant', 'create_saas_user', 'create_tenant_user')),
  day       integer not null,
  tenant_id integer not null references tenant (id),
  count     integer not null check (count > 0),
  primary key (type, day, tenant_id)
) strict, without rowid;
insert into call_count (type, day, tenant_id, count)
select json_extract(
         '["userinfo", "create_tenant", "create_saas_user", "create_tenant_user"]',
         '$[' || type || ']'
       ),
       day, tenant_id, count
from new_call_count;
drop table new_call_count;
alter table user_call rename to new_user_call;
create table user_call (
  day       integer not null,
  type      text    not null
    check (type in ('userinfo', 'create_saas_user', 'create_tenant_user')),
  tenant_id integer not null references tenant (id),
  user_id   integer not null references user (id),
  count     integer not null check (count > 0),
  primary key (day, type, tenant_id, user_id)
) strict, without rowid;
insert into user_call (day, type, tenant_id, user_id, count)
select day,
       json_extract('["userinfo", null, "create_saas_user", "create_tenant_user"]',
                    '$[' || type || ']'),
       tenant_id, user_id, sum(count)
from (
  select day, type, tenant_id, user_id, count from new_user_call
  union all
  select period, 0, tenant_id, user_id, calls from active_user where calls > 0
)
group by day, type, tenant_id, user_id;
drop table new_user_call;
alter table active_user drop column calls;
"""
"""Makes the tables of facts those of version 7; entries of a block are not in the order of time."""

EVENT_IDS = """
drop table event_id;
drop table event_id_day;
create table event_id (
  digest blob    not null primary key
    check (length(digest) = 16),
  day    integer not null
) strict, without rowid;
"""
"""Makes the ids of events those of version 7, and empty."""

VERSION_7 = f"{FACTS} {EVENT_IDS} pragma user_version = 7;"
