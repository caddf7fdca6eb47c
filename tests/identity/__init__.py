"""identity: who is asking, and is it still them."""
