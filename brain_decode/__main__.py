"""Runs the command line: `python -m brain_decode COMMAND`."""

import sys

from brain_decode.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
