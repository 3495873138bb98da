"""Matinee: a whole subscription video-on-demand service, one package sliced by domain."""
