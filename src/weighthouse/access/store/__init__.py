"""The tables of access and their queries, by noun: requests with votes, grants, holds."""
