"""HTTP face of assurance: the attack catalogue with its newest outcomes, and the computed evidence."""
