"""policy: what the lab has decided, as one signed text, and the verdict that follows from it.

Guards every yes and no from loose text, from a swapped file and from an evaluation that failed in silence. From
whom: an operator in a hurry, a platform administrator who would rather not ask, and anyone who can write the
database but does not hold the policy key.

Words: a *lab* is the whole configuration read from one strict YAML text. A *bundle* is that text with its digest,
its version and a signature by the purpose `policy`. A *class* says how sensitive a resource is and what that asks
of people. An *entitlement* names actions on resources, who may ask for them, for how long, and which *slots* of
approvers must be filled. A *separation* lists entitlements that nobody may hold together. A *question* is one
decision's facts; a *verdict* is Cedar's answer with the rules that gave it.

Not here: people's sessions (identity), requests and grants (access), SQL anywhere but `store`.

Promise: a bundle that is not signed, or older than one already used, decides nothing; an error while deciding is no.
"""
