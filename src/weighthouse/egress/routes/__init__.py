"""HTTP of egress: budgets and profiles, to read. What may leave is changed in the signed policy, never here."""
