"""Titles, seasons, people, genres, artwork, localised names, rights windows, and the asset map."""
