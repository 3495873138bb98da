"""One painter a film: a pure function from the number of a frame to the frame."""
