"""Tables and queries of the log: the only place of this room with SQL.

Guards nothing by itself: whoever can write these rows is the attacker that the tree, the signed head and the signer's
memory are there for. Every reader above checks what comes from here before it believes it.
"""
