"""The outside systems of identity: identity providers, address facts, memory outside the database."""
