"""Speed and memory as ratios: each program runs us and the peer, or the physical limit, in one run."""
