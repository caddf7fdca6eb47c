"""The lender of one run: a program of its own, outside the sandbox, that alone has the run's data keys."""
