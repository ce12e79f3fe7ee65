"""`python -m saasus_analysis` is the command `saasus-analysis`."""

from .cli import main

main(prog_name="saasus-analysis")
