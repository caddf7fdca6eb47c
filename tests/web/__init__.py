"""Tests of the console and the HTTP door."""
