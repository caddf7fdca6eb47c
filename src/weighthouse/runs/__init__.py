"""runs: training runs, from submission to end.

Guards:   the machine, the lab's network and the weights from the code that trains, which nobody has reviewed in full.
From:     a run that reaches for the host, for another run, for the network or for more weights than its grant says;
          a sandbox that turns out to be none; a run that outlives the grant it was submitted under.
Words:    run (one execution of code on data, with a parent checkpoint, a risk class and an egress profile),
          environment (interpreter and locked packages, named by digest), sandbox (a tier: gvisor, bubblewrap),
          guard (our first program inside the sandbox: it reports what it sees and waits to be let go on), facts
          (what was really used: runtime, digest, kernel), broker (the one door of the control plane inside a run).
Promise:  no line of submitted code executes before the sandbox was seen from inside and judged to be one, and
          everything a run has started is gone when the run has ended.
"""
