"""Blocks of time, by which histories are clustered."""

import sqlite3
from typing import Any

BLOCK = 14400
"""The length of a block in seconds (schema.sql)."""

# One index seek per block, without reading its rows.
SELECT_STORED_BLOCKS = """
with recursive stored (block) as (
  select min(block)
  from behavior
  where block >= :first_block
  union all
  select (select min(block) from behavior where behavior.block > stored.block)
  from stored
  where stored.block < :last_block
)
select block
from stored
where block <= :last_block
order by block
"""


def blocks_between(start: int, end: int, stored: range | None = None) -> range:
    """Return the blocks from one second to another, inclusive, limited to those in `stored`."""
    first, last = start // BLOCK, end // BLOCK
    if stored is not None:
        first, last = max(first, stored.start), min(last, stored.stop - 1)
    return range(first, last + 1)


def block_range(start: int, end: int) -> dict[str, Any]:
    """Return the parameters of a query for the entries from one second to another, inclusive.

    `start` and `end` are the seconds, `first_block` and `last_block` the blocks that hold them.
    """
    blocks = {"first_block": start // BLOCK, "last_block": end // BLOCK}
    return {"start": start, "end": end} | blocks


def stored_blocks(connection: sqlite3.Connection, start: int, end: int) -> list[int]:
    """Return the blocks that have entries, from one second to another, inclusive."""
    rows = connection.execute(SELECT_STORED_BLOCKS, block_range(start, end))
    return [block for (block,) in rows]
