"""Adapters of the log: the signer's memory in a file, witnesses over HTTP, and a small witness server.

Guards the boundary: each stands for something outside the database's reach, and only `app` chooses among them.
"""
