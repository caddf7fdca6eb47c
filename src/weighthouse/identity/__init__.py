"""identity: who is asking, and is it still them.

Guards:   the way in: people, their devices, their sessions, and the workloads that run on their behalf.
From:     stolen passwords, stolen cookies and tokens, forged or confused identity tokens, look-alike accounts, spray,
          sign-ins from places and keys nobody has seen, edited session rows, a database restored to before a freeze.
Words:    person (from the signed lab configuration, never from a token), account (issuer and subject that lead to a
          person), assurance (how surely and when somebody proved who they are), binding (the key, or the browser and
          address, that a session belongs to), step-up (a second factor asked for now), device (a key that signs
          votes), workload (a run's own identity), seal (a code over a row, made with a key outside the database).
Promise:  a session exists only after a risk check, belongs to one key or one browser, ends at once when it shows up
          anywhere else, and never outlives its person. A detector that fails asks for a second factor; it never
          lets anybody through.
"""
