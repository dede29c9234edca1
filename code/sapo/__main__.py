"""`python -m sapo`, the same as the console script `sapo`."""

import sys

from sapo.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
