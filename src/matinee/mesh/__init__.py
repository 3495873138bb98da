"""How services call each other and survive it: the same Protocol, in this process or in another."""
