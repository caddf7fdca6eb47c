"""Pure rules of access: deciding, matching people to slots, durations, separations, advice, and the card's words."""
