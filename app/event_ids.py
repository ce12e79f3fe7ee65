"""Ids of events as they are stored: digests of 16 bytes, which tell a second delivery.

An id may name a person, and nothing needs its text again. The digest has no secret key: an export
must tell duplicates in any database that reads it.
"""

import sqlite3
from collections.abc import Collection
from hashlib import blake2b

SIZE = 16
"""The bytes of a digest: of 10^12 ids, two are alike with a probability of 10^-15."""

# JSON holds no bytes, so the digests come behind each other as one value.
FIND_DIGESTS = """
with recursive place (at) as (
  values (1)
  union all
  select at + 16 from place where at + 16 < length(:digests)
)
select event_id.digest
from place
cross join event_id on event_id.digest = substr(:digests, place.at, 16)
"""

INSERT_DIGEST = """
insert into event_id (digest, day)
values (?, ?)
on conflict do nothing
"""


def digest_of(source: str, id_: str) -> bytes:
    """Return the digest of an id and the feed that it comes from."""
    return blake2b(f"{source}\0{id_}".encode(), digest_size=SIZE).digest()


def find_known(connection: sqlite3.Connection, digests: Collection[bytes]) -> set[bytes | None]:
    """Return those of the digests that are stored."""
    joined = {"digests": b"".join(sorted(digests))}
    return {known for (known,) in connection.execute(FIND_DIGESTS, joined)}
