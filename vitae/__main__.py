"""`python -m vitae` is the same as `vitae`."""

from vitae.cli.main import main

raise SystemExit(main())
