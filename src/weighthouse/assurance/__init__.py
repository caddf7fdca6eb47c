"""assurance: attacks that are really run, and evidence that is computed, never typed.

Guards:   the claim "we are protected" from being a claim.
From:     a flattering score, a control that rotted unseen, evidence written by the people it judges, a check that is
          green because it looked at nothing.
Words:    scenario (one theft, with the stop and the log lines it must meet), ground (where it is run), outcome
          (BLOCKED, DETECTED, MISSED or NOT RUN), check (a query over the log and the live state), finding, freshness
          (how long a finding may be believed).
Promise:  an outcome is judged only from what happened: the very code that was expected and exactly one log line of
          each expected kind. Anything else is MISSED. A check without anything to look at is not-tested, never green.
Not shown: a scenario that is blocked says nothing about the attack nobody wrote down; a check says nothing about
          what never reached the log.
"""
