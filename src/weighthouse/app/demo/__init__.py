"""The demo: the mission's main job played on this machine, with real people, real sandboxes and real thieves.

Guards the claims of this software from being words: what is printed is read back from answers, from the log and from
exit codes, and the script exits 0 only if every theft failed and every proof held.
"""
