"""The command `saasus-analysis`, also as `python -m saasus_analysis`."""

import gc
import sys
from io import TextIOWrapper

from .cli.signals import end_on_signals


def run() -> None:
    """Run the command that the arguments of the process name."""
    # Imports create many objects but no garbage; `cli.main` enables garbage collection again.
    gc.disable()
    end_on_signals()
    if isinstance(sys.stdout, TextIOWrapper):
        # File names may not be valid text, and a terminal may lack characters. Standard error
        # escapes both by default.
        sys.stdout.reconfigure(errors="backslashreplace")
    from .cli import main

    main(prog_name="saasus-analysis")


if __name__ == "__main__":
    run()
