"""core: the ground every room stands on. No business word in it.

Guards:   the two promises that all rooms rest on: a change and its log entry are one transaction, and time never
          runs backwards for an end that was promised.
From:     half-done changes, clocks that step back, two servers that both believe they lead, settings nobody can
          explain, identifiers that are not what they claim.
Words:    system (settings, clock, database and the bound parts), unit (one transaction with everything that must
          commit together), event (a fact a room publishes), caller (who is asking), part (an adapter that the app
          chose), signer (a key outside the database), door (how a room's page or endpoint enters the system).
Promise:  code above this floor never opens a connection, reads a clock or a setting by itself, so every rule above
          can be tested without any of them.
"""
