"""Pure rules of the registry: paths, manifests against what was agreed, leases and budgets."""
