"""What Matinee costs, measured beside baselines in the same run."""
