"""Pure rules of policy: the strict reader, the checks across sections, the difference, and the Cedar verdict."""
