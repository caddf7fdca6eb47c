"""The evidence checks, one a file: pure functions over log entries and live state, each with its query version.

Each returns satisfied, not-satisfied or not-tested. A check that had nothing to look at is not-tested.
"""
