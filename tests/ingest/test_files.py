import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from app.ingest.eventbridge import read_eventbridge
from app.ingest.files import DEEPEST, Format, UnreadableFile, _Shallow, import_stream
from app.storage.database import Database

from ..conftest import ROOT, run
from ..support.records import api_log, eventbridge, page

GOOD = {"type": "create_tenant", "tenant_id": "t"}


def totals(output: str) -> list[int]:
    """Return accepted, duplicates, ignored and refused from the command's last line."""
    return [int(part.split()[0]) for part in output.splitlines()[-1].split(", ")]


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("events", lines(GOOD, GOOD), [2, 0, 0, 0]),
        ("events", json.dumps([GOOD, GOOD]), [2, 0, 0, 0]),
        ("events", json.dumps([GOOD, GOOD], indent=2), [2, 0, 0, 0]),
        ("events", "\n\n  [\n" + json.dumps(GOOD) + "]\n\n", [1, 0, 0, 0]),
        ("events", json.dumps(GOOD, indent=2), [1, 0, 0, 0]),
        ("events", json.dumps(GOOD, indent=2) * 3, [3, 0, 0, 0]),
        ("events", "\ufeff" + lines(GOOD), [1, 0, 0, 0]),
        ("events", lines(GOOD) + "nonsense\n\n" + lines(GOOD), [2, 0, 0, 1]),
        ("events", lines(GOOD | {"id": "1"}, GOOD | {"id": "1"}), [1, 1, 0, 0]),
        ("events", "", [0, 0, 0, 0]),
        ("events", lines(GOOD, {"type": "userinfo"}, 5), [1, 0, 0, 2]),
        ("eventbridge", lines(eventbridge("create_tenant"), eventbridge("x")), [1, 0, 1, 0]),
        ("eventbridge", json.dumps(eventbridge("create_tenant"), indent=1), [1, 0, 0, 0]),
        ("apilog", json.dumps(page(api_log(), api_log(id="2"))), [2, 0, 0, 0]),
        ("apilog", json.dumps(page(api_log(), api_log("PUT")), indent=1), [1, 0, 1, 0]),
        ("apilog", lines(page(api_log()), 7, page(api_log(id="2"))), [2, 0, 0, 1]),
        ("apilog", json.dumps([page(api_log()), page(api_log(id="2"))]), [2, 0, 0, 0]),
    ],
)
def test_files_are_read_in_whatever_way_their_records_stand(
    tmp_path: Path, kind: str, content: str, expected: list[int]
) -> None:
    file = tmp_path / "records"
    file.write_text(content)
    done = run("import", kind, file, "--database", tmp_path / "a.db")
    assert totals(done.stdout) == expected
    assert done.returncode == (1 if expected[3] else 0)


def test_standard_input_and_several_files_add_up(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text(lines(GOOD | {"id": "1"}, GOOD | {"id": "2"}))
    done = run(
        *("import", "events", file, "-", file, "--database", tmp_path / "a.db"),
        input=lines(GOOD | {"id": "2"}, GOOD | {"id": "3"}),
    )
    assert totals(done.stdout) == [3, 3, 0, 0]


def test_refused_records_are_shown_by_file_and_place(tmp_path: Path) -> None:
    file = tmp_path / "bad.ndjson"
    file.write_text(lines(GOOD, *[{"type": "userinfo"}] * 50))
    done = run("import", "events", file, "--database", tmp_path / "a.db")
    assert f"{file}: record 1: user_id: is required where type is userinfo" in done.stdout
    assert f"{file}: record 20: " in done.stdout
    assert f"{file}: record 21: " not in done.stdout
    assert totals(done.stdout) == [1, 0, 0, 50]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"type"', "valid JSON throughout: "),
        (b'[{"type": NaN}]', "valid JSON throughout: "),
        (b"[1, 2", "valid JSON throughout: "),
        (b'{\n"type"\n', "valid JSON throughout: "),
        (b'[{"type": "\xff"}]', "valid JSON throughout: lexical error: invalid bytes in UTF8"),
        (b'[{"\xc0\x80": 1}]', "valid UTF-8 throughout"),
        (b'[{"type": "\xed\xa0\x80"}]', "valid UTF-8 throughout"),
    ],
)
def test_a_file_that_is_no_json_ends_with_a_message(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(content)
    done = run("import", "events", file, "--database", tmp_path / "a.db")
    assert done.returncode == 1
    assert f"bad.json is not {message}" in done.stderr
    assert len(done.stderr.splitlines()) == 2  # the other line tells of the new database


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("events", GOOD | {"timestamp": "@"}),
        ("eventbridge", eventbridge("create_tenant", time="@")),
        ("apilog", page(api_log(request_uri="@"), api_log(response_status="@"))),
    ],
)
def test_a_value_that_is_nested_deeply_is_one_that_is_wrong(
    tmp_path: Path, kind: str, record: dict[str, Any]
) -> None:
    file = tmp_path / "deep.json"
    file.write_text(json.dumps(record).replace('"@"', "[" * 990 + "]" * 990))
    done = run("import", kind, file, "--database", tmp_path / "a.db")
    assert done.stderr.startswith("made a new database at ")
    assert totals(done.stdout) == ([0, 0, 2, 0] if kind == "apilog" else [0, 0, 0, 1])


def read(content: bytes) -> list[Any]:
    """Return what an import takes for the records of a file."""
    taken: list[Any] = []

    def take(record: Any) -> None:
        taken.append(record)

    with TemporaryDirectory() as folder, closing(Database(Path(folder, "a.db"))) as database:
        list(import_stream(database, io.BytesIO(content), Format(take), lambda _: None))
    return taken


@pytest.mark.parametrize("deepest", [DEEPEST, DEEPEST + 1])
@pytest.mark.parametrize("before", [b"", b"[1]", b'"\\"]"', b'"' + b"]" * 70_000 + b'\\\\"'])
def test_a_file_is_read_to_a_thousand_levels(before: bytes, deepest: int) -> None:
    inner = deepest - 1
    content = b"[\n" + before + b"," * bool(before) + b"[" * inner + b"]" * inner + b"\n]"
    if deepest > DEEPEST:
        with pytest.raises(UnreadableFile, match="is nested more than 1000 levels deep"):
            read(content)
    else:
        assert len(read(content)) == 1 + bool(before)


@pytest.mark.parametrize("size", range(1, 6))
def test_brackets_in_text_are_no_levels_wherever_it_is_cut(size: int) -> None:
    text = json.dumps([r"\"[" * DEEPEST, {"[": r"\\"}, "]", ["["], "{\\\\"]).encode()
    stream = _Shallow(io.BytesIO(text))  # type: ignore[arg-type]
    while stream.read(size):
        pass
    assert stream._depth == 0


@pytest.mark.parametrize("length", [2**20 - 100, 2**20 + 200_000])
def test_a_record_may_be_so_long(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.ingest.files.MAX_LINE", 2**20)
    content = b'[\n1,\n{"a": "' + b"x" * length + b'"},\n2\n]'
    if length > 2**20:
        with pytest.raises(UnreadableFile, match=f"longer than {2**20} bytes"):
            read(content)
    else:
        assert len(read(content * 2)) == 6


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    done = run("import", "events", tmp_path / "none", "--database", tmp_path / "a.db")
    assert done.returncode == 2
    assert "none" in done.stderr


@pytest.mark.slow
def test_what_was_read_before_the_end_of_a_pipe_is_stored(tmp_path: Path) -> None:
    command = ["import", "events", "-", "--database", str(tmp_path / "a.db")]
    with subprocess.Popen(
        [sys.executable, "-m", "app", *command],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        output, _ = process.communicate(lines(*[GOOD] * 25_000) + '{"type": "cre')
    assert totals(output) == [25_000, 0, 0, 1]


class Endless(io.RawIOBase):
    """A stream that is made while it is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._rest += piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


@pytest.mark.slow
@pytest.mark.parametrize("as_list", [False, True])
def test_memory_is_bounded_whatever_the_length(
    database: Database, monkeypatch: pytest.MonkeyPatch, as_list: bool
) -> None:
    monkeypatch.setattr("app.ingest.files.BATCH", 2000)
    monkeypatch.setattr("app.ingest.files.MAX_LINE", 2**21)
    record = json.dumps(eventbridge("ignored", padding="x" * 500)).encode()
    separator, ends = (b",", (b"[", b"]")) if as_list else (b"\n", (b"", b""))

    def pieces() -> Iterator[bytes]:
        yield ends[0] + record
        for _ in range(11_999):
            yield separator + record
        yield ends[1]

    tracemalloc.start()
    stream: Any = Endless(pieces())
    ignored = sum(
        report.ignored
        for report in import_stream(database, stream, Format(read_eventbridge), lambda _: None)
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ignored == 12_000
    assert peak < 12_000 * len(record)


def test_a_line_without_end_is_refused_and_the_next_is_read(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ingest.files.MAX_LINE", 200)
    content = b"5\n" + b"x" * 1000 + b"\n\n" + b"6\n"
    reports = list(
        import_stream(database, io.BytesIO(content), Format(read_eventbridge), lambda _: None)
    )
    messages = [refusal["message"] for refusal in reports[0].refused]
    assert messages == [
        "must be an object",
        "the line must be shorter than 200 bytes",
        "must be an object",
    ]
