"""The SDK's client: keys, proofs, sign-in by browser and headless."""
