"""Progress bars."""

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(items: Any = None, **options: Any) -> Any:
    """Return a progress bar, over items if they are given; it is shown only on a terminal."""
    make: Any = tqdm
    return make(items, disable=None if sys.stderr else True, **options)
