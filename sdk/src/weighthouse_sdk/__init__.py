"""Weighthouse SDK: what a training job and a person's tools need, and nothing of the server.

It guards weights on their way to and from storage. Whoever holds the storage, the network or a copy of
the files learns sizes and nothing else; whoever changes, drops, swaps or mixes a byte is named at load.

Words: a *checkpoint* is a set of *shards*, each a FLOE file under its own *data key*; the *index* says
which tensor lies where; the *manifest* is the signed list of everything; a *ticket* is what the control
plane hands out for one save or one load, data keys sealed to the caller's own ephemeral key.

    floe, floe_files    the encryption (C2SP FLOE, GCM256_IV256_1M), alone and over files with threads
    formats             strict safetensors headers; pickle is refused
    manifest            DSSE envelope, in-toto statement, BLAKE3 Merkle roots
    checkpoint          save, load and describe, into buffers the caller owns
    limits, dtypes      one table for writer and reader: how much, and of which types
    workload            the same from inside a run, over its one socket
    client              a person's HTTP client

Plain weights exist only in the caller's memory; keys are never written anywhere.
"""
