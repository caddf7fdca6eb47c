"""detect: the detections that act, read from the log.

Guards:   live sessions and weights, after every other room has already said yes to somebody.
From:     a password sprayer who got lucky, a thief with somebody's session, an insider (or a run gone wrong) who
          reads far more weights than the work needs.
Words:    signal (one fact of the log, reduced to what a rule needs), incident (what a rule concluded, with the log
          indexes it rests on), alert (an incident on record), response (what was ended, frozen or held at once).
Promise:  within one pass of the follower over the log the alert stands and the response is taken, in one
          transaction, once for each incident, however often or late or out of order the facts arrive.
Not shown: no detection here sees what never became a fact of the log. Thresholds are settings, and a thief who
          stays below them is the business of the budgets in `egress` and `weights`.
"""
