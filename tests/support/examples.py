"""How many examples property tests try: a few while somebody works, in CI many.

`TESTS_PROFILE=ci` chooses the many, as `.ci/run` does. All are drawn from fixed seeds, so that a
test that fails does so again.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

from hypothesis import HealthCheck, settings

Case = TypeVar("Case")

PROFILE = os.environ.get("TESTS_PROFILE", "work")
SHARE = 5
"""Of so many examples that CI tries, one is tried by default."""

DRAWN = settings(
    derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile("ci", DRAWN, max_examples=100)
settings.register_profile("work", DRAWN, max_examples=100 // SHARE)
settings.load_profile(PROFILE)


def examples(most: int) -> int:
    """Return how many examples a test tries that tries `most` in CI; by default a share of them."""
    return most if PROFILE == "ci" else -(-most // SHARE)


def cases(every: Sequence[Case], at_work: Sequence[Case]) -> Sequence[Case]:
    """Return the cases of a slow test: every one in CI; by default those that differ most."""
    return every if PROFILE == "ci" else at_work
