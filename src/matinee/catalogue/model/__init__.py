"""The rules of the catalogue: pure functions of titles, assets and times."""
