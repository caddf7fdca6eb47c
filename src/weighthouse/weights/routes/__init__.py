"""HTTP faces of the registry: `api` for people, `workload` for runs through the broker. Parse, ask, answer."""
