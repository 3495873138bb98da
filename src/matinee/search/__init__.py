"""Search: titles, people and genres by name, however they are typed."""
