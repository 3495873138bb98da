"""The rules of encoding: what a source is, which ladder it gets, where it is cut, how a job progresses."""
