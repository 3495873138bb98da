"""Composes screens from several domains, and turns uploads into titles."""

from matinee.gateway.service.intake import Intake
from matinee.gateway.service.last_homes import LastHomes
from matinee.gateway.service.screens import Screens
from matinee.gateway.service.warmup import warm_up

__all__ = ["Intake", "LastHomes", "Screens", "warm_up"]
