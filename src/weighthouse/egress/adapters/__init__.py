"""Drivers of the real programs behind this room's ports. Imported by the app alone."""
