-- The schema of one saasus-analysis database: the documentation of the data.
--
-- Conventions: a "day" is the number of calendar days since 1970-01-01 in the deployment's time
-- zone, a "month" is year * 12 + month - 1; a "timestamp" and every "…_at" is in UNIX seconds.
-- External ids are stored once, in a dictionary table; all other tables refer to them by integers.

-- Settings that are fixed when the database is made. time_zone: IANA name. keep_query and
-- collapse_ids (on or off) decide which page a referer belongs to; only `summaries rebuild` changes
-- these two.
create table setting (
  name  text not null primary key,
  value text not null
) strict, without rowid;

-- Dictionaries ------------------------------------------------------------------------------

create table user (
  id   integer primary key,
  name text not null unique            -- user_id of the API, 1 to 128 characters
) strict;

create table tenant (
  id   integer primary key,
  name text not null unique            -- tenant_id of the API, 1 to 128 characters
) strict;

create table page (
  id  integer primary key,
  url text not null unique             -- a referer without its query and fragment
) strict;

create table referer (
  id      integer primary key,
  url     text not null unique,        -- exactly as it was sent
  page_id integer not null references page (id)
) strict;

create index referer_page on referer (page_id);

-- Facts -------------------------------------------------------------------------------------

-- One row for each entry of a user's behaviour history. Clustered by block of time and user, so
-- that a user's day is a few ranges of the key and a range of time is a single one. The timestamp
-- is computed from the key, since the second within the block takes two bytes instead of four.
create table behavior (
  block      integer not null check (block >= 0), -- timestamp / 14400: four hours
  user_id    integer not null references user (id),
  second     integer not null check (second between 0 and 14399), -- timestamp % 14400
  seq        integer not null,         -- order among the entries of that user and second, from 0
  referer_id integer not null references referer (id),
  timestamp  integer generated always as (block * 14400 + second) virtual,
  primary key (block, user_id, second, seq)
) strict, without rowid;

-- API calls counted by type, day and tenant. Types: 0 userinfo (0 takes no byte), 1 create_tenant,
-- 2 create_saas_user, 3 create_tenant_user.
create table call_count (
  type      integer not null check (type between 0 and 3),
  day       integer not null,
  tenant_id integer not null references tenant (id),
  count     integer not null check (count > 0),
  primary key (type, day, tenant_id)
) strict, without rowid;

-- The calls in call_count whose user is known, so that erasing the user can subtract them. This
-- table holds creations and calls of userinfo without an environment; active_user counts those with
-- one.
create table user_call (
  day       integer not null,
  type      integer not null check (type in (0, 2, 3)),
  tenant_id integer not null references tenant (id),
  user_id   integer not null references user (id),
  count     integer not null check (count > 0),
  primary key (day, type, tenant_id, user_id)
) strict, without rowid;

-- Who was active: one row for each user in a day or month, tenant and environment. A user's calls
-- of userinfo in a day and tenant are the sum of `calls` and of the count in user_call.
create table active_user (
  monthly   integer not null check (monthly in (0, 1)),
  period    integer not null,          -- month if monthly, else day
  tenant_id integer not null references tenant (id),
  env_id    integer not null check (env_id >= 0),
  user_id   integer not null references user (id),
  calls     integer not null           -- of userinfo: each counts in its lowest environment
    check (calls >= 0 and (not monthly or calls = 0)),
  primary key (monthly, period, tenant_id, env_id, user_id)
) strict, without rowid;

-- How many users were active. `computed` is the number of rows in active_user, updated in the same
-- transaction; `put` is a number that a client has set, and takes precedence unless it is null.
create table active_users (
  monthly   integer not null check (monthly in (0, 1)),
  period    integer not null,          -- month if monthly, else day
  tenant_id integer not null references tenant (id),
  env_id    integer not null check (env_id >= 0),
  computed  integer not null default 0 check (computed >= 0),
  put       integer check (put >= 0),
  primary key (monthly, period, tenant_id, env_id)
) strict, without rowid;

-- Few rows have a number that was put, but each query that counts users looks for them.
create index active_users_put on active_users (monthly, period, put) where put is not null;

-- Digests (16 bytes) of the feed and the id of stored events, so that a second delivery changes
-- nothing. A row holds many digests: see event_ids.py and event_id_rows.py in app/storage.
create table event_id (
  start integer primary key,           -- the least that the first 7 bytes of its digests can be
  wide  integer not null check (wide in (0, 1)), -- 1: each day takes 4 bytes, else 2
  ids   blob    not null check (length(ids) > 0) -- digests (15 of their bytes) and days of events
) strict;

-- How many of these ids belong to each day.
create table event_id_day (
  day   integer primary key,
  count integer not null check (count > 0)
) strict;

-- Page summaries ----------------------------------------------------------------------------

-- Computed from `behavior`; they can be dropped at any time. A span of level n is 8^n hours long
-- and begins span * 8^n hours after 1970-01-01T00:00Z. See app/summaries.
create table page_summary (
  level    integer not null check (level between 0 and 3),
  span     integer not null,
  views    blob    not null,           -- zlib: page ids (4 bytes each), their views (8), little-endian
  visitors blob    not null,           -- Roaring bitmap (64 bits) of page id * 2^32 + user id
  users    blob    not null,           -- Roaring bitmap of user ids
  checksum integer not null,           -- CRC-32 of all of the above
  primary key (level, span)
) strict;

-- Spans that are being summarized. A write in such a span deletes its row, so that the outdated
-- summary is not stored.
create table page_sealing (
  level integer not null,
  span  integer not null,
  token integer not null,              -- random number of the thread that summarizes it
  primary key (level, span)
) strict, without rowid;

-- Period summaries --------------------------------------------------------------------------

-- Summaries of days and months, computed from `active_user`, `user_call` and `behavior`; they can
-- be dropped at any time. A write in such a period deletes its row, even while the summary is being
-- made, so that an outdated one is not stored. See app/summaries/periods.
create table period_summary (
  data     text    not null check (data in ('users', 'members', 'actions', 'callers')),
  monthly  integer not null check (monthly in (0, 1)),
  period   integer not null,           -- month if monthly, else day
  token    integer not null,           -- random number of the thread that makes it
  content  blob,                       -- null: it is being made
  checksum integer,                    -- CRC-32 of all of the above except the token
  primary key (data, monthly, period),
  check (not (monthly and data in ('actions', 'callers'))),
  check ((content is null) = (checksum is null))
) strict;

-- Retention ---------------------------------------------------------------------------------

-- Retention cutoffs: older data were pruned and are not accepted any more. The summaries of whole
-- hours of pruned histories stay until page_statistics are pruned.
create table kept (
  data  text    not null primary key
    check (data in ('histories', 'page_statistics', 'counts', 'event_ids')),
  since integer not null               -- timestamp at which the first kept day begins
) strict, without rowid;

-- Maintenance actions on the data as a whole; the content of the data is never recorded here.
create table audit (
  id      integer primary key,
  at      integer not null,
  action  text    not null
    check (
      action in ('backup', 'prune', 'erase-user', 'erase-tenant', 'delete', 'reset-cutoffs')
    ),
  details text    not null             -- a JSON object of numbers
) strict;

create index audit_action on audit (action, at);

-- Keys --------------------------------------------------------------------------------------

create table key (
  id         integer primary key,
  name       text not null,
  prefix     text not null unique,     -- bearer: the token's public first part; signature: API key
  token_hash blob,                     -- bearer: SHA-256 of the token
  saas_id    text,                     -- signature
  secret     text,                     -- signature: in clear, since an HMAC cannot be checked otherwise
  scopes     text not null,            -- words, separated by spaces
  created_at integer not null,
  expires_at integer,                  -- null: never
  revoked_at integer,                  -- null: not revoked
  last_used_at integer,                -- null: never; noted once an hour
  check ((token_hash is null) = (saas_id is not null)),
  check (secret is null or saas_id is not null)
) strict;

create unique index key_name on key (name) where revoked_at is null;

-- The dashboard -----------------------------------------------------------------------------

-- Which browser is signed in with which key. A row is deleted when the browser signs out, or some
-- time after the session has expired.
create table session (
  token_hash blob    not null primary key, -- SHA-256 of the token that the browser has as a cookie
  key_id     integer not null references key (id),
  created_at integer not null,
  expires_at integer not null
) strict, without rowid;

create index session_expires_at on session (expires_at);

-- URLs that show the dashboard to whoever has them.
create table link (
  id         integer primary key,
  name       text    not null,
  token_hash blob    not null unique,  -- SHA-256 of the token that is in the path
  tenant_id  integer references tenant (id), -- the only tenant it shows; null: all tenants
  created_at integer not null,
  expires_at integer not null,
  revoked_at integer,                  -- null: not revoked
  last_used_at integer                 -- null: never; noted once an hour
) strict;

create unique index link_name on link (name) where revoked_at is null;
