"""Pages of egress: what may be reached, what has left, and how long a theft would take."""
