"""The demo catalogue: short films made on the spot, so that there is something to watch at once."""
