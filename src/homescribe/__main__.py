"""`python -m homescribe`."""

from homescribe.cli import main

main()
