"""Ids of events as they are stored: digests of 16 bytes, which tell a second delivery.

An id may name a person, and nothing needs its text again. The digest has no secret key: an export
must tell duplicates in any database that reads it.
"""

import sqlite3
from collections.abc import Collection
from functools import lru_cache
from hashlib import blake2b

SIZE = 16
"""The bytes of a digest, of which two are alike with a probability of 2^-96 at most."""

STEM_SIZE = 4
"""How many of these bytes are those of the stem of an id."""

NUMBERED = 4
"""How many characters at the end are not part of the stem."""

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
    """Return the digest of an id and the feed that it comes from.

    Ids that differ in their last characters alone begin alike: consecutive ones are stored beside
    each other, and not each in another page.
    """
    text = f"{source}\0{id_}"
    whole = blake2b(text.encode(), digest_size=SIZE - STEM_SIZE).digest()
    return _digest_of_stem(text[:-NUMBERED]) + whole


@lru_cache(maxsize=16)
def _digest_of_stem(stem: str) -> bytes:
    return blake2b(stem.encode(), digest_size=STEM_SIZE).digest()


def find_known(connection: sqlite3.Connection, digests: Collection[bytes]) -> set[bytes | None]:
    """Return those of the digests that are stored."""
    joined = {"digests": b"".join(sorted(digests))}
    return {known for (known,) in connection.execute(FIND_DIGESTS, joined)}
