"""Pure decisions of this room: canonical hosts, verdicts, caps of windows, time to theft."""
