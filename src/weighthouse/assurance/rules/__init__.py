"""The rules of assurance, one topic a file. Pure: observations and log lines in, judgement out."""
