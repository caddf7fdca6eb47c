"""app: the wiring, and the only place that knows every room.

Guards:   the choice of parts. Which adapter stands behind each port, which routes are mounted, which followers and
          timers run: all of it is read here, in one sitting, and nowhere else.
From:     a guard that was written but never connected, demo keys on a public address, a server that starts on a
          database or a state folder it does not understand.
Words:    wiring (settings in, system and web application out), server (one process that serves it), initialise (make
          a state folder to keep), doctor (what is missing or weak here), demo (the main job, played with its thefts).
Promise:  a server either starts with every guard connected or refuses to start and says which part is missing.
"""
