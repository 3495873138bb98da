"""`matinee lab verify`: compares the output of a title with its source, frame by frame and track by track."""
