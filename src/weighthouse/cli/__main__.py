"""`python -m weighthouse.cli`: the same program where its console script is not on the PATH."""

from weighthouse.cli.main import main

main()
