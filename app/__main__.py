"""The command `saasus-analysis`, also as `python -m saasus_analysis`."""

import gc
import sys
from io import TextIOWrapper

from .cli.signals import end_on_signals


def run() -> None:
    """Run the command that the arguments of the process name."""
    # Loading makes many objects and no garbage; the command turns it on again.
    gc.disable()
    end_on_signals()
    if isinstance(sys.stdout, TextIOWrapper):
        # As on standard error: names of files may be no text, and a terminal may know little of it.
        sys.stdout.reconfigure(errors="backslashreplace")
    from .cli import main

    main(prog_name="saasus-analysis")


if __name__ == "__main__":
    run()
