"""Independent parties: a certified relying party and a certified provider, from npm, that the room is made to meet."""
