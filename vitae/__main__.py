"""`python -m vitae` is the same as `vitae`."""

from vitae.cli import main

raise SystemExit(main())
