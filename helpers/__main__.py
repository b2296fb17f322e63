"""`python -m helpers`: the course from the command line."""

from helpers.cli import main

main()
