"""The pure half of identity: tokens, proofs, keys, risk, addresses, return paths. No clock, no I/O."""
