"""`python -m jmarl` is `jmarl`."""

import sys

from jmarl.cli import main

sys.exit(main())
