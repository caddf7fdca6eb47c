"""weights: the registry of checkpoints. Ciphertext and signatures come in; plain weights never reach this process.

Guards:   every version of every model: its ciphertext, its signed list of parts, where it came from, who reads it.
From:     a writer who swaps, mixes or rolls back; a reader who forges; an edited database row; a slow thief who reads
          a little every day; one person who would take a copy out; a crash in the middle of a save.
Words:    model (a resource with a sensitivity class), save (leave to write one version, with fresh data keys),
          version (a committed save), manifest (the signed list of its shards), lineage (its parents), lease (how long
          a reader may go on), read budget (bytes a person may open of a model in 24 hours), export (keys sealed to an
          outside recipient that the approvers saw).
Promise:  nothing is visible before its manifest is committed; what is loaded is exactly what was committed, or it is
          refused by name; each release is decided here, again in keys, and written in the log.
"""
