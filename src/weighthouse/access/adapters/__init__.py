"""What access needs from outside, for one machine."""
