"""cli: the command line, one file a noun.

Guards:   people at a terminal from acting on something other than what they read, and their secrets from the process
          list, the shell's history and the terminal itself.
From:     a password given as an argument, control characters in somebody's "reason" that repaint the screen, a script
          that takes a refusal for a success, a retry that asks twice.
Words:    noun (a file with its commands), connection (the one place that reaches the server, through the SDK),
          listing and card (what is shown: a table on a terminal, tab-separated when piped, JSON with -o json).
Promise:  it can do nothing that the same person could not do over HTTP, exits with a documented code, and explains
          every failure with message, remedy and code, never with a traceback.
"""
