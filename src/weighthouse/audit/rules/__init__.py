"""The functional core of the log: tree, tiles, notes, proofs and judgements, without any input or output.

Guards the formats: everything here follows RFC 6962 and the C2SP specifications (signed-note v1.0.0, tlog-checkpoint
v1.0.0, tlog-cosignature v1.1.0-rc.1, tlog-witness v1.0.0, tlog-tiles v0.1.0, tlog-proof), so that what we write can
be checked by programs that we did not write.
"""
