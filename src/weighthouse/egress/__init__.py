"""egress: what may leave, to where, and how much of it.

Guards:   the weights from being carried out through any connection that a run may make.
From:     an unlisted host reached by name, address, IPv6 or DNS; an allowed host used as a front for another; a drip
          that stays under every hourly limit; many runs that each stay just below; a ledger that is down.
Words:    profile (a named list of destinations with owner, reason, expiry and byte budget), way (the one proxied way
          out of one run, through an Envoy of its own), verdict (yes or no to one connection), lease (bytes debited
          before they may leave), ledger (durable sums by lab, model, run and destination), window (1 h, 24 h, 30 d).
Promise:  nothing leaves that was not listed, and no more bytes leave than were debited first: when the ledger has
          none left to lend, or cannot be reached, the way is cut.
"""
