"""Tests that drive Debian's Chromium against a served control plane."""
