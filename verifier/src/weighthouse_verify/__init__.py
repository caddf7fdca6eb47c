"""weighthouse-verify: checks an exported log, or one proof, without trusting who made it.

Guards:   auditors, committees and courts from having to believe the server, its administrators or its makers.
From:     edited, removed, moved and inserted entries; swapped tiles; rewritten, shortened and split histories.
Words:    log folder (C2SP tlog-tiles as plain files), entry bundle, tile, checkpoint, cosignature, tlog-proof,
          tlog-policy (which witnesses must have cosigned).
Promise:  everything is recomputed from the entries; the first bad index, tile or checkpoint is named; nothing is
          imported from the server, so a defect there cannot hide itself here. It needs Python and `cryptography`.
"""
