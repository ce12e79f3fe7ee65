"""Progress bars."""

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(items: Any = None, **options: Any) -> Any:
    """Return a progress bar, over items if there are some, on standard error if it is a terminal."""
    make: Any = tqdm
    return make(items, disable=None if sys.stderr else True, **options)
