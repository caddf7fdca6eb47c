"""The rules of governance, one topic a file. Pure: charter and ballots in, tally out."""
