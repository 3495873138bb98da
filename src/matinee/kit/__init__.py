"""The vocabulary that all packages share: ids, clock, problem, context, page, url, hashing, log."""
