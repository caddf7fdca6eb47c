"""The attack catalogue: one theft a file, each with its steps, its expected stop and the log lines it must leave."""
