"""HTTP face of keys: read-only. No endpoint returns, changes or destroys a key."""
