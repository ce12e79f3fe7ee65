"""All that the dashboard asks, beside a model: time zones, numbers that were put, and pruning."""

from contextlib import closing
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from app.analytics import active_users
from app.analytics.selection import Days
from app.summaries.pages import sealing as page_sealing
from app.summaries.periods import sealing as period_sealing

from ..maintenance.test_pruning import DATA, TODAY
from ..support.asked import ENVIRONMENTS, PAGES, REFERERS, TENANTS, TYPES, USERS, Asked, number_of
from ..support.examples import examples

DAY = number_of(TODAY)

# Around today, the changes of clocks in April, and the beginnings of months.
backs = st.one_of(st.integers(-1, 3), st.integers(17, 20), st.integers(42, 50), st.integers(0, 75))
seconds = st.sampled_from([0, 0, 1, 1799, 1800, 3599, 3600, 4 * 3600 - 1, 40_000, 82_799, 82_800])
users = st.sampled_from(USERS)
tenants = st.sampled_from(TENANTS)
envs = st.sampled_from(ENVIRONMENTS)
days = st.builds(
    lambda back, length: Days(DAY - back - length + 1, DAY - back),
    backs,
    st.sampled_from([1, 1, 2, 7, 30, 45]),
)
happenings = st.tuples(
    st.just("happen"),
    st.sampled_from(["userinfo"] * 8 + TYPES),
    backs,
    seconds,
    users,
    tenants,
    st.none() | envs,
    st.sampled_from(REFERERS),
)
asks = [
    st.tuples(st.just("ask_active"), days, st.none() | tenants, st.none() | envs),
    st.tuples(st.just("ask_calls"), days, st.none() | tenants),
    st.tuples(st.just("ask_totals"), days, st.none() | tenants),
    st.tuples(st.just("ask_page"), days, st.sampled_from(PAGES), st.none() | tenants),
    st.tuples(st.just("ask_actions"), days, st.sampled_from(PAGES)),
    st.tuples(st.just("ask_tenants"), days),
    st.tuples(st.just("ask_fading"), days, st.integers(1, 3)),
    st.tuples(st.just("ask_environments"), days, tenants, st.integers(1, 3)),
    st.tuples(
        st.just("ask_user"),
        days,
        users,
        st.sampled_from([None, "", "ACTION", "%", "_"]),
        st.integers(1, 3),
    ),
    st.tuples(st.just("ask_extent")),
]
steps = st.one_of(
    happenings,
    happenings,
    *asks,
    st.tuples(st.just("put"), backs, users, st.lists(seconds, max_size=3)),
    st.tuples(st.just("put_active"), backs, st.booleans(), tenants, envs, st.integers(0, 9)),
    st.tuples(st.just("move_clock"), st.integers(1, 20)),
    st.tuples(
        st.just("prune"),
        st.dictionaries(st.sampled_from(DATA), st.integers(1, 60), min_size=1),
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/Santiago", "Australia/Lord_Howe"])
@settings(max_examples=examples(20))
@given(
    pays=st.sampled_from([1, 1, 1000]),
    few=st.sampled_from([0, 1000]),
    begun=st.lists(happenings, min_size=20, max_size=60),
    steps=st.lists(steps, min_size=4, max_size=20),
    asked=days,
)
def test_every_answer_is_counted_from_what_happened(
    zone: str, pays: int, few: int, begun: list[Any], steps: list[Any], asked: Days
) -> None:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(page_sealing, "PAYS", pays)
        patch.setattr(period_sealing, "PAYS", pays)
        patch.setattr(active_users, "PAYS", few)
        world = Asked(zone, folder)
        with closing(world.database):
            for action, *arguments in [*begun, *steps]:
                note(f"{action} {arguments}")
                if action == "prune":
                    kept = dict(arguments[0])
                    if "page_statistics" in kept:
                        kept["histories"] = min(kept.get("histories", 60), kept["page_statistics"])
                    world.prune(kept, 0)
                else:
                    getattr(world, action)(*arguments)
            note(f"ask_everything_of {asked}")
            world.ask_everything_of(asked)
