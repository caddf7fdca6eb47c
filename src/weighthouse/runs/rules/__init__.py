"""Pure decisions of this room: may this order run, is this really a sandbox, what follows from a state."""
