"""access: who may do what, to what, until when, and who said so. THE decision of this software.

Guards every resource of the lab. From whom: a single person acting alone, a stolen session, a rogue administrator of
the platform or of the database, an approval that was given for something else, and access that outlives its reason.

Words: a *request* asks for one entitlement on one resource for a time, named by the digest of all its fields.
A *vote* is one person's signature over that digest and the digest of the policy in force. A *slot* is a seat that
policy wants filled; distinct people fill distinct slots. A *grant* is a sealed statement that holds its request and
its votes; it is checked again at every use. A *hold* beats every grant. A *separation* keeps two grants apart.

Start reading at `api/decision.py`: `require` (raises `Denied`) and `explain` (says why, writes nothing) are the one
decision path. `rules/deciding.py` is the pure heart: `decide(request, votes, directory, policy, now)`.

Promise: no grant works without the signatures that policy asks for today, from people who may still give them; what
was ended, held or refused stays so even when somebody restores the old row; the end of a grant needs nobody to act.
"""
