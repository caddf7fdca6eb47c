"""HTTP face of governance: seats, motions, ballots and release holds."""
