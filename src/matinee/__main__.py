"""`python -m matinee`."""

import sys

from matinee.app.cli import main

sys.exit(main())
