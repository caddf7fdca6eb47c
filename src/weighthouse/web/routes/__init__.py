"""Pages that belong to no single room: home, static files and liveness."""
