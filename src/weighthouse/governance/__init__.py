"""governance: the committee that can really stop a release.

Guards:   the release of a model, against everybody who would rather not wait: management, administrators, the team.
From:     a vote without a quorum, a member who votes on their own matter, an administrator who lifts a hold by
          himself, somebody with write access to the database who edits a motion, a ballot or a recusal.
Words:    charter (the rules, part of the signed policy bundle), seat, motion (one question, content-addressed),
          ballot (a member's signature over the motion's digest), recusal (a ballot that leaves the quorum count),
          hold (exports of a model are refused), decision (the signed result of a quorate vote).
Promise:  a hold beats every grant at every releasing point until a decision lifts it, and a decision exists only if
          the signed ballots, counted again from scratch and against the log, carry it under the charter.
Not shown: that members judged well, or freely. An unratified hold does not lapse by itself: waiting is the safe side.
"""
