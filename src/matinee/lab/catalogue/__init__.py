"""A generated catalogue of any size: titles in ten languages, people, genres, franchises and episodes."""

from matinee.lab.catalogue.forms import LANGUAGES
from matinee.lab.catalogue.genres import GENRES
from matinee.lab.catalogue.titles import GeneratedTitle, generate_titles

__all__ = ["GENRES", "LANGUAGES", "GeneratedTitle", "generate_titles"]
