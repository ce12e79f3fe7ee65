"""Progress bars."""

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(items: Any = None, **options: Any) -> Any:
    """Return a progress bar, over items if some are given; only a terminal shows it."""
    make: Any = tqdm
    return make(items, disable=None if sys.stderr else True, **options)
