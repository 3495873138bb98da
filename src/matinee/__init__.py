"""Matinee: a complete subscription video-on-demand service, one package sliced by domain."""

__version__ = "0.1.0"
