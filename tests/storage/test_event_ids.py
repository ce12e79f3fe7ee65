"""Ids of events beside a plain dictionary, with rows so short that a few ids make many."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.days import FIRST_DAY, LAST_DAY
from app.storage import event_id_rows, event_ids
from app.storage.event_ids import (
    EventIds,
    delete_days,
    delete_some,
    find_wrong,
    read_ids,
    store_in_order,
)

from ..conftest import ROOT
from ..support.examples import examples

ENDS = [-1, 0, 1, 65_534, 65_535, 65_536, FIRST_DAY, LAST_DAY]


@st.composite
def some_digests(draw: st.DrawFn) -> bytes:
    """Digests that have their first bytes in common, or are beside each other."""
    alike = draw(st.sampled_from([0, 1, 2, 4, 7, 8, 15]))
    start = draw(st.sampled_from([b"\0" * 16, b"\xff" * 16, b"\x80" + b"\0" * 15, b"\x07" * 16]))
    # Few different bytes: what looks like the rest of a digest stands between entries as well.
    rest = draw(st.lists(st.sampled_from([0, 7, 128, 255]), min_size=16, max_size=16))
    return start[:alike] + bytes(rest)[alike:]


digests = some_digests() | st.binary(min_size=16, max_size=16)
days = st.sampled_from([20_000, 20_001, 20_002]) | st.sampled_from(ENDS)
batches = st.lists(st.tuples(digests, days), max_size=60)


def empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(ROOT.joinpath("schema.sql").read_text())
    return connection


def store(connection: sqlite3.Connection, batch: list[tuple[bytes, int]]) -> EventIds:
    ids = EventIds(connection, {digest for digest, _ in batch})
    for digest, day in batch:
        ids.add(digest, day)
    ids.store()
    return ids


class Ids(RuleBasedStateMachine):
    """Each rule does the same to a database and to a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.connection = empty()
        self.model: dict[bytes, int] = {}

    @initialize(entries=st.sampled_from([1, 2, 4, 20, 238]), asked=st.sampled_from([1, 3, 1000]))
    def set_limits(self, entries: int, asked: int) -> None:
        length = max(entries * event_id_rows.NARROW.size, event_id_rows.WIDE.size)
        for module in (event_id_rows, event_ids):
            self.patch.setattr(module, "LONGEST", length)
        self.patch.setattr(event_id_rows, "FILL", 1)
        self.patch.setattr(event_ids, "ASKED", asked)

    @rule(batch=batches)
    def add(self, batch: list[tuple[bytes, int]]) -> None:
        ids = EventIds(self.connection, {digest for digest, _ in batch})
        for digest, day in batch:
            assert (digest in ids) == (digest in self.model)
            assert ids.day_of(digest) == self.model.get(digest)
            ids.add(digest, day)
            self.model.setdefault(digest, day)
        ids.store()

    @rule(asked=st.sets(digests))
    def find(self, asked: set[bytes]) -> None:
        ids = EventIds(self.connection, asked | self.model.keys())
        for digest in asked | self.model.keys():
            assert ids.day_of(digest) == self.model.get(digest)

    @rule(ends=st.tuples(days, days))
    def delete(self, ends: tuple[int, int]) -> None:
        first, last = sorted(ends)
        gone = {digest for digest, day in self.model.items() if first <= day <= last}
        assert delete_days(self.connection, first, last) == len(gone)
        for digest in gone:
            del self.model[digest]

    @rule(last=days, batch=batches)
    def prune_beside_a_writer(self, last: int, batch: list[tuple[bytes, int]]) -> None:
        """What is added while old ids are pruned step by step is not so old."""
        after: int | None = event_ids.BEFORE_ALL
        while after is not None:
            _, after = delete_some(self.connection, FIRST_DAY, last, after)
            young = [(digest, day) for digest, day in batch if day > last]
            for digest, day in young[:3]:
                ids = store(self.connection, [(digest, day)])
                self.model[digest] = ids.day_of(digest) or day
            batch = young[3:]
        self.model = {digest: day for digest, day in self.model.items() if day > last}

    @rule(ends=st.tuples(days, days))
    def read(self, ends: tuple[int, int]) -> None:
        first, last = sorted(ends)
        read = list(read_ids(self.connection, first, last))
        assert read == sorted(item for item in self.model.items() if first <= item[1] <= last)

    @rule()
    def make_anew(self) -> None:
        self.connection.close()
        self.connection = empty()
        store_in_order(self.connection, iter(sorted(self.model.items())))

    @invariant()
    def is_right(self) -> None:
        assert list(read_ids(self.connection)) == sorted(self.model.items())
        assert list(find_wrong(self.connection)) == []
        counts = dict(self.connection.execute("select day, count from event_id_day"))
        assert counts == Counter(self.model.values())

    def teardown(self) -> None:
        self.patch.undo()
        self.connection.close()


TestIds = Ids.TestCase
TestIds.settings = settings(max_examples=examples(60), stateful_step_count=20)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(empty()) as made:
        yield made


def sizes(connection: sqlite3.Connection) -> list[int]:
    return [size for (size,) in connection.execute("select length(ids) from event_id")]


def shared(number: int) -> bytes:
    """Return one of many digests whose first byte is the same, at a random place."""
    return b"\x2a" + event_ids.digest_of("client", f"{number}-")[4:] + b"\0" * 3


def test_rows_are_nearly_full_and_no_longer_than_a_page(connection: sqlite3.Connection) -> None:
    for batch in range(40):
        store(connection, [(shared(100 * batch + each), 20_000) for each in range(100)])
    longest = event_id_rows.LONGEST
    assert max(sizes(connection)) <= longest
    assert sum(sizes(connection)) > 0.84 * longest * len(sizes(connection))
    overflow = "select count(*) from dbstat where name = 'event_id' and pagetype = 'overflow'"
    assert connection.execute(overflow).fetchone() == (0,)
    assert list(find_wrong(connection)) == []


@pytest.mark.parametrize("same", [7, 8, 14])
def test_digests_that_no_start_tells_apart_stay_in_one_row(
    connection: sqlite3.Connection, same: int
) -> None:
    alike = {b"\x2a" * same + i.to_bytes(16 - same) for i in range(600)}
    assert len({event_id_rows.start_of(digest) for digest in alike}) == 1
    store(connection, [(digest, 20_000) for digest in sorted(alike)[::2]])
    store(connection, [(shared(each), 20_001) for each in range(900)])
    ids = store(connection, [(digest, 20_002) for digest in alike])
    assert {ids.day_of(digest) for digest in alike} == {20_000, 20_002}
    assert max(sizes(connection)) >= 600 * event_id_rows.NARROW.size
    assert list(find_wrong(connection)) == []
    assert delete_days(connection, 20_000, 20_002) == 1500


def test_a_row_is_wide_only_while_a_day_needs_it(connection: sqlite3.Connection) -> None:
    store(connection, [(shared(each), 20_000 + each % 2) for each in range(10)])
    store(connection, [(shared(10), LAST_DAY)])
    assert sizes(connection) == [11 * event_id_rows.WIDE.size]
    assert delete_days(connection, LAST_DAY, LAST_DAY) == 1
    assert sizes(connection) == [10 * event_id_rows.NARROW.size]


WRONG = [
    ("update event_id set ids = substr(ids, 2)", "bytes, which is not a whole number of"),
    ("update event_id set ids = cast(ids || substr(ids, 1, 17) as blob)", "holds an id twice"),
    (
        "update event_id set start = start + 1 where start = (select max(start) from event_id)",
        ", which belongs in another",
    ),
    (
        "update event_id set start = (select max(start) - 1 from event_id) where start = "
        "(select min(start) from event_id)",
        ", which belongs in another",
    ),
    ("update event_id_day set count = 9", "2024-10-04: 9 ids stored, 600 in rows"),
    ("delete from event_id_day", "2024-10-04: 0 ids stored, 600 in rows"),
    ("insert into event_id_day values (0, 7)", "1970-01-01: 7 ids stored, 0 in rows"),
]


@pytest.mark.parametrize(("statement", "message"), WRONG)
def test_what_is_wrong_is_found(
    connection: sqlite3.Connection, statement: str, message: str
) -> None:
    store(connection, [(shared(each), 20_000) for each in range(600)])
    assert list(find_wrong(connection)) == []
    connection.execute(statement)
    assert message in "\n".join(find_wrong(connection))


@pytest.mark.slow
def test_what_is_deleted_is_nowhere_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(ROOT.joinpath("schema.sql").read_text())
        connection.execute("pragma secure_delete = on")
        ids = {shared(each): 20_000 + each % 3 for each in range(3000)}
        for begin in range(0, 3000, 300):
            store(connection, list(ids.items())[begin : begin + 300])
        assert delete_days(connection, 20_001, 20_001) == 1000
    content = path.read_bytes()
    found = {digest for digest in ids if digest[1:] in content}
    assert found == {digest for digest, day in ids.items() if day != 20_001}
