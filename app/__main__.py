"""The command `saasus-analysis`, also as `python -m saasus_analysis`."""

import gc


def run() -> None:
    """Run the command that the arguments of the process name."""
    # Loading makes many objects and no garbage; the command turns it on again.
    gc.disable()
    from .cli import main

    main(prog_name="saasus-analysis")


if __name__ == "__main__":
    run()
