"""HTTP face of detect: alerts are read and acknowledged here; nothing can raise one over HTTP."""
