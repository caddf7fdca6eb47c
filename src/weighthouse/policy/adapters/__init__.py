"""What policy needs from outside, for one machine."""
