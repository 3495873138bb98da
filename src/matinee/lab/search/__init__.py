"""Judged queries over the generated catalogue, and how well a search answers them."""

from matinee.lab.search.evaluation import Evaluation, Find, JudgedQuery, Miss, Score, evaluate, render_scores
from matinee.lab.search.parts import PARTS, render_parts
from matinee.lab.search.queries import CLASSES, generate_queries

__all__ = [
    "CLASSES",
    "PARTS",
    "Evaluation",
    "Find",
    "JudgedQuery",
    "Miss",
    "Score",
    "evaluate",
    "generate_queries",
    "render_parts",
    "render_scores",
]
