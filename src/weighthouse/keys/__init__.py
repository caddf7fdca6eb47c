"""keys: who may turn ciphertext into weights, decided at the moment a key leaves.

Guards:   the keys that encrypt checkpoints, and the keys that sign what the control plane says.
From:     stolen disks and database dumps, callers whose grant has ended, one caller asking for everything, data keys
          moved from one place to another, old key versions, and a second reading of one approval.
Words:    root (random secret, sealed on disk by a passphrase), key encryption key or KEK (one a model, in versions),
          data key (one a shard, random, used once), wrap (encrypt a data key under a KEK, bound to a context),
          context (the one place a data key belongs to), release (a data key sealed to the caller's ephemeral key).
Promise:  no key lies plain on disk or in the database; a data key leaves only sealed to the key of a caller whom
          `access` allows now, asked again here, with one entry in the log in the same transaction, or not at all.
"""
