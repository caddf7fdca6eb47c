"""Rules of the house that no linter knows, and the one program behind `make check`."""
