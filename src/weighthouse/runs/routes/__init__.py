"""HTTP of runs: the API for people, the workload's own endpoints, and the listener that vouches for a run."""
