"""The open control plane that guards AI research clusters: researchers train, nobody walks out with the weights."""
