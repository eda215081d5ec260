"""``python -m speu_cli`` is ``speu``."""

import sys

from speu_cli.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
