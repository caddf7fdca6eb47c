"""The embedded development identity provider: real OIDC on loopback, for demos, development and tests.

Never for production: it holds derived passwords and its signing key in this process. It refuses to start when the
mode is production, or when the server listens anywhere but loopback.
"""
