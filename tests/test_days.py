"""Days and months of time zones, and how they are written."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones, reset_tzpath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.days import (
    FIRST_DAY,
    LAST_DAY,
    MAX_TIMESTAMP,
    PERIODS,
    Calendar,
    format_day,
    month_of,
    parse_day,
    parse_month,
)

from .support.examples import examples

HOUR = 3600
DAY = 24 * HOUR
YEAR_2100 = 4_102_444_800

ORDINARY_ZONES = [
    "UTC",
    "Asia/Tokyo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
]

# The local date goes back for a while where clocks are set back across midnight.
SETBACKS_ACROSS_MIDNIGHT = [
    ("America/St_Johns", 1987, 2011),
    ("America/Goose_Bay", 1987, 2011),
    ("America/Moncton", 1993, 2006),
]

ZONES = sorted(available_timezones() - {"localtime", "Factory"})
zones = st.sampled_from(ZONES)
timestamps = st.integers(0, YEAR_2100) | st.integers(0, MAX_TIMESTAMP)
past_days = st.integers(0, YEAR_2100 // DAY)


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def local_date(zone: str, timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, ZoneInfo(zone)).date().isoformat()


def day_start(zone: str, day: str) -> int:
    return Calendar(zone).day_start(parse_day(day))


def day_of(zone: str, timestamp: int) -> str:
    return format_day(Calendar(zone).day_of(timestamp))


@pytest.mark.slow
@settings(max_examples=examples(1000))
@given(zones, timestamps)
@example("Pacific/Apia", utc("2011-12-30T10:00"))
@example("America/St_Johns", utc("2000-10-29T02:30:59"))
@example("America/St_Johns", utc("2000-10-29T02:31"))
@example("America/Toronto", utc("1919-03-31T04:30"))
@example("America/Sao_Paulo", utc("2017-10-15T03:00"))
@example("Africa/Monrovia", 0)
@example("Etc/GMT+12", 0)
@example("Etc/GMT+12", MAX_TIMESTAMP - DAY)
@example("Pacific/Kiritimati", 0)
def test_a_timestamp_is_in_its_day(zone: str, timestamp: int) -> None:
    calendar = Calendar(zone)
    day = calendar.day_of(timestamp)
    assert calendar.day_start(day) <= timestamp
    if day < parse_day("9999-12-31"):
        assert timestamp < calendar.day_start(day + 1)


@pytest.mark.slow
@settings(max_examples=examples(1000))
@given(zones, past_days)
def test_days_follow_each_other_without_gap_or_overlap(zone: str, day: int) -> None:
    calendar = Calendar(zone)
    start, end = calendar.day_start(day), calendar.day_start(day + 1)
    assert start <= end
    if start < end:
        assert calendar.day_of(start) == calendar.day_of(end - 1) == day
    assert calendar.day_of(start - 1) < day < calendar.day_of(end)


@pytest.mark.slow
@settings(max_examples=examples(500))
@given(zones, past_days, st.lists(st.integers(-3 * HOUR, 3 * HOUR), min_size=2))
def test_days_never_go_back(zone: str, day: int, around: list[int]) -> None:
    calendar = Calendar(zone)
    days = [calendar.day_of(calendar.day_start(day) + seconds) for seconds in sorted(around)]
    assert days == sorted(days)


@pytest.mark.slow
@settings(max_examples=examples(300))
@given(zones, past_days)
def test_a_day_begins_at_the_first_second_of_its_date_or_a_later_one(zone: str, day: int) -> None:
    start = Calendar(zone).day_start(day)
    name = format_day(day)
    assert local_date(zone, start) >= name
    before = [*range(start - 2 * DAY, start, 15 * 60), start - 2, start - 1]
    assert all(local_date(zone, second) < name for second in before)


@pytest.mark.slow
@settings(max_examples=examples(1000))
@given(st.sampled_from(ORDINARY_ZONES), timestamps.filter(lambda at: at < MAX_TIMESTAMP - DAY))
def test_the_day_is_the_local_date_in_an_ordinary_zone(zone: str, timestamp: int) -> None:
    assert day_of(zone, timestamp) == local_date(zone, timestamp)


@settings(max_examples=examples(300))
@given(st.sampled_from(ORDINARY_ZONES), past_days, st.integers(-2, 2))
def test_the_day_is_the_local_date_at_its_edges(zone: str, day: int, seconds: int) -> None:
    timestamp = max(0, Calendar(zone).day_start(day) + seconds)
    assert day_of(zone, timestamp) == local_date(zone, timestamp)


@pytest.mark.parametrize(
    ("zone", "day", "first", "last"),
    [
        ("UTC", "1970-01-01", "1970-01-01T00:00:00", "1970-01-01T23:59:59"),
        ("UTC", "2024-02-29", "2024-02-29T00:00:00", "2024-02-29T23:59:59"),
        ("Asia/Tokyo", "2026-05-19", "2026-05-18T15:00:00", "2026-05-19T14:59:59"),
        ("Asia/Kathmandu", "2026-05-19", "2026-05-18T18:15:00", "2026-05-19T18:14:59"),
        ("America/New_York", "2024-03-10", "2024-03-10T05:00:00", "2024-03-11T03:59:59"),
        ("America/New_York", "2024-11-03", "2024-11-03T04:00:00", "2024-11-04T04:59:59"),
        ("Pacific/Kiritimati", "2026-05-19", "2026-05-18T10:00:00", "2026-05-19T09:59:59"),
        ("Pacific/Pago_Pago", "2026-05-19", "2026-05-19T11:00:00", "2026-05-20T10:59:59"),
        # Midnight is skipped: the clocks go from 00:00 to 01:00.
        ("America/Sao_Paulo", "2017-10-15", "2017-10-15T03:00:00", "2017-10-16T01:59:59"),
        ("Africa/Cairo", "2024-04-26", "2024-04-25T22:00:00", "2024-04-26T20:59:59"),
        ("Asia/Beirut", "2022-03-27", "2022-03-26T22:00:00", "2022-03-27T20:59:59"),
        # Midnight is reached twice: the clocks go from 00:00 to 23:00.
        ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00:00", "2018-02-18T02:59:59"),
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00:00", "2018-02-19T02:59:59"),
        # Midnight comes twice: the clocks go from 01:00 to 00:00 of the same day.
        ("America/Havana", "2023-11-05", "2023-11-05T04:00:00", "2023-11-06T04:59:59"),
        # The clocks go from 00:01 to 23:01 of the day before, which ended with its first midnight.
        ("America/St_Johns", "2000-10-28", "2000-10-28T02:30:00", "2000-10-29T02:29:59"),
        ("America/St_Johns", "2000-10-29", "2000-10-29T02:30:00", "2000-10-30T03:29:59"),
        # The clocks go from 23:30 to 00:30 of the next day.
        ("America/Toronto", "1919-03-30", "1919-03-30T05:00:00", "1919-03-31T04:29:59"),
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30:00", "1919-04-01T03:59:59"),
        # The zone moved across the date line, and its clocks stood at midnight.
        ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00:00", "2011-12-30T09:59:59"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00", "2011-12-31T09:59:59"),
        ("Pacific/Kwajalein", "1993-08-22", "1993-08-21T12:00:00", "1993-08-22T11:59:59"),
        # Local mean time, -00:44:30.
        ("Africa/Monrovia", "1970-01-01", "1970-01-01T00:44:30", "1970-01-02T00:44:29"),
    ],
)
def test_first_and_last_second_of_a_day(zone: str, day: str, first: str, last: str) -> None:
    assert day_start(zone, day) == utc(first)
    assert [day_of(zone, utc(first)), day_of(zone, utc(last))] == [day, day]
    assert day_of(zone, utc(first) - 1) < day
    assert day_of(zone, utc(last) + 1) > day


@pytest.mark.parametrize(
    ("zone", "skipped"), [("Pacific/Apia", "2011-12-30"), ("Pacific/Kwajalein", "1993-08-21")]
)
def test_a_day_that_the_zone_skipped_has_no_second(zone: str, skipped: str) -> None:
    after = format_day(parse_day(skipped) + 1)
    assert day_start(zone, skipped) == day_start(zone, after)
    assert day_of(zone, day_start(zone, skipped)) == after


@pytest.mark.parametrize(("zone", "first_year", "last_year"), SETBACKS_ACROSS_MIDNIGHT)
def test_a_day_that_began_goes_on_when_clocks_go_back_across_midnight(
    zone: str, first_year: int, last_year: int
) -> None:
    calendar = Calendar(zone)
    first, last = parse_day(f"{first_year}-01-01"), parse_day(f"{last_year}-12-31")
    setbacks = [
        day
        for day in range(first, last)
        if local_date(zone, calendar.day_start(day) + 90) < format_day(day)
    ]
    assert len(setbacks) >= 10
    for day in setbacks:
        start, end = calendar.day_start(day), calendar.day_start(day + 1)
        assert {calendar.day_of(second) for second in range(start, end, 60)} == {day}
        assert calendar.day_of(start - 1) == day - 1


@pytest.mark.parametrize(
    ("zone", "timestamp", "day"),
    [
        ("UTC", 0, "1970-01-01"),
        ("Pacific/Kiritimati", 0, "1969-12-31"),
        ("Asia/Tokyo", 0, "1970-01-01"),
        ("America/New_York", 0, "1969-12-31"),
        ("Etc/GMT+12", 0, "1969-12-31"),
        ("Africa/Monrovia", 0, "1969-12-31"),
        ("UTC", MAX_TIMESTAMP, "9999-12-31"),
        ("Etc/GMT+12", MAX_TIMESTAMP, "9999-12-31"),
        ("America/New_York", MAX_TIMESTAMP, "9999-12-31"),
        ("Pacific/Kiritimati", MAX_TIMESTAMP, "9999-12-31"),
        ("Pacific/Kiritimati", MAX_TIMESTAMP - 14 * HOUR, "9999-12-31"),
        ("Pacific/Kiritimati", MAX_TIMESTAMP - 38 * HOUR, "9999-12-30"),
    ],
)
def test_the_first_and_last_timestamps_have_a_day(zone: str, timestamp: int, day: str) -> None:
    assert day_of(zone, timestamp) == day
    assert day_start(zone, day) <= timestamp


@pytest.mark.parametrize(
    "zone",
    [
        *(
            "",
            " ",
            "Mars/Olympus",
            "+09:00",
            "Asia",
            "Asia/",
            "/Asia/Tokyo",
            "Asia//Tokyo",
            "tzdata",
        ),
        *("../UTC", "Asia/../UTC", "./UTC", "/etc/localtime", "UTC\0", "UTC\n", "\uff21sia/Tokyo"),
        *("asia/tokyo", "Asia/tokyo", "utc", "ASIA/TOKYO", "\udcff", "A" * 5000, "A/" * 500 + "B"),
        *(
            "localtime",
            "posixrules",
            "Factory",
            "posix/UTC",
            "posix/Asia/Tokyo",
            "right/Asia/Tokyo",
        ),
        *("zone.tab", "tzdata.zi", "leapseconds", "SECURITY", "iso3166.tab"),
    ],
)
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="is not an IANA time zone"):
        Calendar(zone)


def test_every_time_zone_that_there_is_can_be_had() -> None:
    assert [zone for zone in ZONES if Calendar(zone).zone != zone] == []


@pytest.mark.parametrize("content", [b"", b"TZif", b"TZif2" + bytes(15) + b"\xff" * 24, b"TZif2\0"])
def test_a_damaged_file_of_tz_data_is_a_zone_that_is_not_known(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "Damaged").write_bytes(content)
    try:
        reset_tzpath([tmp_path])
        with pytest.raises(ValueError, match="pip install -U tzdata"):
            Calendar("Damaged")
    finally:
        reset_tzpath()


@given(st.dates())
def test_days_and_months_are_read_as_they_are_written(day: date) -> None:
    number = parse_day(day.isoformat())
    assert date(1970, 1, 1) + timedelta(days=number) == day
    assert format_day(number) == day.isoformat()
    assert parse_month(day.isoformat()[:7]) == month_of(number)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1970-01-01", 0),
        ("1969-12-31", -1),
        ("1970-03-01", 59),
        ("2000-02-29", 11016),
        ("0001-01-01", -719162),
        ("9999-12-31", 2932896),
    ],
)
def test_a_day_is_counted_from_1970(text: str, number: int) -> None:
    assert parse_day(text) == number
    assert format_day(number) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [("1970-01", 23640), ("1970-12", 23651), ("0001-01", 12), ("9999-12", 119999)],
)
def test_a_month_is_counted_in_years_of_twelve(text: str, number: int) -> None:
    assert parse_month(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-05",
        "2026-5-19",
        "26-05-19",
        "20260519",
        "2026/05/19",
        "2026-05-19T00:00:00",
        " 2026-05-19",
        "2026-05-19\n",
        "-2026-05-19",
        "2026-W21-2",
        "\uff12026-05-19",
    ],
)
def test_what_is_not_written_as_a_date_is_no_day(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a date as YYYY-MM-DD$"):
        parse_day(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-29",
        "2026-04-31",
        "1900-02-29",
        "0000-01-01",
        "2026-13-01",
        "2026-00-01",
        "2026-05-00",
        "2026-05-32",
    ],
)
def test_a_date_that_does_not_exist_is_no_day(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a date that exists$"):
        parse_day(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-5",
        "2026-00",
        "2026-13",
        "2026-05-19",
        "202605",
        "0000-01",
        "2026-05\n",
        "\uff12026-05",
    ],
)
def test_what_is_not_written_as_a_month_is_no_month(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a month as YYYY-MM$"):
        parse_month(text)


@pytest.mark.parametrize(
    ("day", "month"),
    [
        ("2024-02-29", "2024-02"),
        ("2024-03-01", "2024-03"),
        ("2023-12-31", "2023-12"),
        ("2024-01-01", "2024-01"),
        ("0001-01-01", "0001-01"),
        ("9999-12-31", "9999-12"),
    ],
)
def test_month_of_a_day(day: str, month: str) -> None:
    assert month_of(parse_day(day)) == parse_month(month)


@pytest.mark.parametrize(
    ("type_", "text", "monthly", "number"),
    [("daily", "2026-05-19", False, 20592), ("monthly", "2026-05", True, 24316)],
)
def test_each_period_reads_its_dates(type_: str, text: str, monthly: bool, number: int) -> None:
    period = PERIODS[type_]
    assert (period.monthly, period.parse(text)) == (monthly, number)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "Pacific/Kiritimati", "America/Adak"])
def test_the_first_and_the_last_day_have_a_start_and_a_time(zone: str) -> None:
    calendar = Calendar(zone)
    for day in (FIRST_DAY, FIRST_DAY + 1, LAST_DAY - 1, LAST_DAY):
        assert abs(calendar.day_start(day) - day * DAY) <= DAY
        assert calendar.day_start(day) < calendar.day_start(day + 1)
    assert calendar.local_time(MAX_TIMESTAMP).year == 9999
