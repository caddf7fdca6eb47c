"""Tests of the log: its formats against vectors and other code, and its promises under attack and sudden death."""
