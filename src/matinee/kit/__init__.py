"""Words that everyone shares: ids, clock, problem, context, page, url, hashing, log."""
