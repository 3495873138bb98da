"""The rules of search: how text is compared, and how what is found is ordered. Pure functions."""
