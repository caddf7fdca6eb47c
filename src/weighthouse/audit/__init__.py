"""audit: the tamper-evident log. Every other room's promises are only as good as this one's memory.

Guards:   the record of who did what, and with it every approval, grant and key release that the record explains.
From:     administrators of the database, restored backups, stolen log keys, processes killed half way, and ourselves.
Words:    entry (one fact), leaf (its canonical bytes), tree (RFC 6962 Merkle tree over the leaves), tile (256
hashes of
          the tree, C2SP tlog-tiles), checkpoint (signed size and root), cosignature (a witness saw this checkpoint
          and it only grew), signer memory (last signed size and root, kept outside the database), follower (a
          reader with a cursor), commitment (salted hash that stands for personal clear text in a leaf).
Promise:  a change and its entry are one transaction; no entry is ever edited, removed, moved or forged without
          `verify`, the signer's memory, a witness or the separate program `weighthouse-verify` naming the place.
"""
