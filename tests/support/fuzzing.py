"""What must hold for whatever comes from outside; `targets.py` makes the inputs."""

import io
from collections.abc import Callable
from http.client import BadStatusLine
from typing import NamedTuple

from app.analytics.events import Report
from app.auth.guard import is_well_formed
from app.cli.import_ import KINDS
from app.double.middleware import CONTROL
from app.ingest.files import UnreadableFile

from ..conftest import NOW
from .reading import everything
from .refusals import BASE
from .signer import authorization
from .subject import KEY, Sent, Stored, Subject, check_line, check_refusal

TOKEN = "TOKEN"
"""Stands in an Authorization header for the token, which each application has its own of."""
ASKED = f"{BASE}/users/ann/behavior-histories"
SIGNED = authorization(KEY, at=NOW, method="GET", host="localhost", target=f"{ASKED}?")
SIGNATURE = SIGNED.partition("Sig=")[2][:64]


class Outcome(NamedTuple):
    """What became of records; the message if all were refused, or the rest of a file."""

    report: Report
    refusal: str | None = None


def ask_twice(subject: Subject, sent: Sent) -> bool:
    """Check that what is asked or set twice is answered alike; tell whether it is a 200."""
    first, second = subject.send(sent), subject.send(sent)
    assert (first.status_code, first.data) == (second.status_code, second.data)
    return first.status_code == 200


def post_twice(kind: str, subject: Subject, sent: Sent) -> bool:
    """Check what a feed stores of a request, and when it is sent again."""

    def take() -> Outcome:
        answer = subject.send(sent)
        told = answer.get_json()
        if answer.status_code == 200:
            return Outcome(Report(**told))
        return Outcome(Report(), told["message"])

    return _take_twice(kind, subject, take)


def import_twice(kind: str, subject: Subject, content: bytes) -> bool:
    """Check what is stored of a file, and when it is imported again."""

    def take() -> Outcome:
        total = Report()
        read, _ = KINDS[kind]
        try:
            for report in read(subject.database, io.BytesIO(content), lambda _: None):
                total.accepted += report.accepted
                total.duplicates += report.duplicates
                total.ignored += report.ignored
                total.refused += report.refused
        except UnreadableFile as error:
            check_line(str(error))
            return Outcome(total, str(error))
        return Outcome(total)

    return _take_twice(kind, subject, take)


def _take_twice(kind: str, subject: Subject, take: Callable[[], Outcome]) -> bool:
    subject.empty()
    first = take()
    stored = subject.stored()
    taken = _check_stored(kind, first.report, stored)
    if taken:
        everything(subject.client)
    for refusal in first.report.refused:
        check_line(refusal["message"])
    second = take()
    assert second.refusal == first.refusal
    assert second.report.refused == first.report.refused
    assert second.report.ignored == first.report.ignored
    # All of EventBridge have ids; that of the log inside is stored beside it.
    known = taken if kind in ("export", "eventbridge") else stored.ids
    assert second.report.accepted == taken - known
    assert second.report.duplicates == first.report.duplicates + known
    if known == taken:
        assert subject.stored() == stored
    return bool(taken or first.report.duplicates or first.report.ignored)


def _check_stored(kind: str, report: Report, stored: Stored) -> int:
    """Check that what was accepted is stored, and nothing else; return how much that is."""
    if kind == "export":
        _, *rows = stored
        assert report.accepted == sum(rows)
    elif kind == "apilog":
        # A call counts in each tenant of its user.
        assert report.accepted <= stored.calls
        assert bool(report.accepted) == any(stored)
    else:
        assert report.accepted == stored.calls
    return report.accepted


def authorize(subject: Subject, header: bytes) -> bool:
    """Check that no header is let in without the token or the signature in it."""
    text = header.decode("latin-1").replace(TOKEN, subject.token)
    answer = subject.send(Sent("GET", ASKED, headers={"HTTP_AUTHORIZATION": text}))
    well_formed = is_well_formed(text)
    if answer.status_code == 200:
        assert well_formed
        assert subject.token in text or SIGNATURE in text
        return True
    assert answer.status_code == 401
    return False


def control(subject: Subject, sent: Sent) -> bool:
    """Check that a double answers whatever it was told, and can be reset."""
    assert subject.double.put(f"{CONTROL}/seed", json={}).status_code == 200
    answer = subject.double.open(
        sent.path, method=sent.method, data=sent.body, content_type="application/json"
    )
    if answer.status_code != 200:
        check_refusal(answer.status_code, answer.headers.get("Content-Type"), answer.data)
    for path in ("state", "clock", "faults", "requests"):
        assert subject.double.get(f"{CONTROL}/{path}").status_code == 200
    return answer.status_code == 200


def ask_raw(subject: Subject, target: bytes) -> bool:
    """Check the answer to a request target, as it comes through a socket."""
    head = b"GET %b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n"
    try:
        answer, body = subject.exchange(head % (target, subject.token.encode()))
    except BadStatusLine:
        # Its lines can make it a request that is not whole.
        assert b"\r" in target or b"\n" in target
        return False
    assert answer.getheader("X-Saasus-Trace-Id")
    if answer.status in (200, 308):
        return True
    check_refusal(answer.status, answer.getheader("Content-Type"), body)
    return False
