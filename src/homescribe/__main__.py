"""`python -m homescribe`."""

from homescribe.cli.main import main

main()
