"""The rules of detection, one topic a file. Pure: the same signals always give the same incidents."""
