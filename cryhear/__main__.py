"""`python -m cryhear` is the `cryhear` command."""

import sys

from cryhear.cli import main

sys.exit(main())
