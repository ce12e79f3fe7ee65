"""Random writes, whose export must be what the model says, and make an equal database."""

from collections import Counter
from contextlib import ExitStack, closing
from datetime import date, timedelta
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from app.analytics.events import SOURCES, Event, Place, Report
from app.analytics.recording import record_events
from app.exports.tables import TABLES
from app.storage.database import Database
from app.storage.event_ids import digest_of

from ..support import model
from ..support.examples import examples
from ..support.export_files import exported, imported, records
from ..support.world import Moment, World
from ..test_model import Call, calls, days, ids, moments, tenants, writes


class Fed(World):
    """A world that knows events of all sources."""

    @property
    def database(self) -> Database:
        opened: Database = self.app.extensions["database"]
        return opened

    def record(self, source: str, id_: str, tenant: str, moment: Moment) -> None:
        at, report = self.at(moment), Report()
        event = Event("create_tenant", at, places=(Place(tenant),), id=(source, id_))
        record_events(self.database, [event], report)
        if report.accepted:
            if source == "client":
                self.model.ids.add(id_)
            day = self.model.day_of(at)
            self.model.calls.append(model.Call("create_tenant", day, tenant, None, None))


def expected(facts: model.Model) -> dict[str, list[dict[str, Any]]]:
    """Return the records that an export of the model's facts must have, by kind."""
    entries = sorted(facts.entries, key=lambda entry: (entry.timestamp, entry.user))
    counts = Counter((call.type, call.day.isoformat(), call.tenant) for call in facts.calls)
    active = {
        (type_, call.day.isoformat()[:length], call.tenant, call.env, call.user)
        for call in facts.calls
        for type_, length in (("daily", 10), ("monthly", 7))
        if call.type == "userinfo" and call.env is not None
    }
    whose = Counter(
        (call.day.isoformat(), call.type, call.tenant, call.user)
        for call in facts.calls
        if call.user and call.type != "create_tenant"
    )
    place = itemgetter("type", "date", "tenant_id", "env_id")
    numbers = {place(put): put["active_users"] for put in facts.puts}
    names = ("type", "date", "tenant_id", "env_id")
    return {
        "history": [
            {"timestamp": each.timestamp, "user_id": each.user, "referer": each.referer}
            for each in entries
        ],
        "call": [
            {"type": type_, "date": day, "tenant_id": tenant, "count": count}
            for (type_, day, tenant), count in sorted(counts.items())
        ],
        "user-call": [
            {"type": type_, "date": day, "tenant_id": tenant, "user_id": user, "count": count}
            for (day, type_, tenant, user), count in sorted(whose.items())
        ],
        "active-user": [dict(zip((*names, "user_id"), key, strict=True)) for key in sorted(active)],
        "number": [
            dict(zip((*names, "active_users"), (*key, number), strict=True))
            for key, number in sorted(numbers.items())
        ],
    }


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York", "America/Sao_Paulo"])
@settings(max_examples=examples(40), phases=[Phase.generate, Phase.shrink])
@given(
    written=st.lists(
        writes
        | calls("record", source=st.sampled_from(SOURCES), id_=ids, tenant=tenants, moment=moments),
        min_size=4,
        max_size=12,
    ),
    split=days,
)
def test_an_export_is_what_was_written_and_makes_an_equal_database(
    zone: str, written: list[Call], split: date
) -> None:
    with ExitStack() as stack:
        fed, copy, other = (
            stack.enter_context(closing(Fed(zone, keep_query=False, folder=folder)))
            for folder in (stack.enter_context(TemporaryDirectory()) for _ in range(3))
        )
        for call in written:
            note(str(call))
            getattr(fed, call.name)(**call.arguments)
        whole = exported(fed.database)
        for kind, wanted in expected(fed.model).items():
            assert records(whole, kind) == wanted
        told = records(whole, "event-id")
        own = {digest_of("client", id_).hex() for id_ in fed.model.ids}
        assert {each["digest"] for each in told} >= own
        assert told == sorted(told, key=itemgetter("digest"))

        count = len(records(whole))
        assert imported(copy.database, whole) == Report(accepted=count)
        assert exported(copy.database) == whole
        copy.model, copy.clock.timestamp = fed.model, fed.clock.timestamp
        copy.compare_everything()
        assert imported(copy.database, whole) == Report(duplicates=count)
        assert exported(copy.database) == whole

        before = exported(fed.database, last=(split - timedelta(days=1)).isoformat())
        after = exported(fed.database, first=split.isoformat())
        assert sorted(records(before) + records(after), key=str) == sorted(records(whole), key=str)
        for part in (after, before):
            assert not imported(other.database, part).refused
        assert exported(other.database) == whole


@pytest.mark.slow
def test_csv_of_every_table_makes_an_equal_database(tmp_path: Path) -> None:
    with ExitStack() as stack:
        fed, copy = (
            stack.enter_context(closing(Fed("Asia/Tokyo", keep_query=False, folder=folder)))
            for folder in (stack.enter_context(TemporaryDirectory()) for _ in range(2))
        )
        referers = ["", "=1+1", 'a "b", c', " ", '"', "https://例え.jp/\U0001f600?q=1,2", "\ufeff"]
        noon = Moment(date(2017, 11, 1), 43200)
        fed.put_day('@ann, "é"', noon, [(5, referer) for referer in referers], 1)
        fed.put_active_users(date(2017, 11, 1), True, "-1+1", 2**63 - 1, 2**63 - 1, 1)
        for source in SOURCES:
            fed.record(source, f"{source},\ufeff", "\ufeff", noon)
        fed.ingest(
            [({"type": "userinfo", "user_id": "u", "env_id": 0, "tenant_id": "+"}, True)],
            all_or_nothing=False,
            lines=False,
        )
        for table in reversed(TABLES):
            report = imported(copy.database, exported(fed.database, table, format_="csv"))
            assert report.accepted
            assert not report.refused
        assert exported(copy.database) == exported(fed.database)
        for table in TABLES:
            content = exported(fed.database, table, format_="csv")
            assert exported(copy.database, table, format_="csv") == content
            assert b"\n" not in content.replace(b"\r\n", b"")
