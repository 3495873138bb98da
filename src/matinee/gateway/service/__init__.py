"""The gateway's own work: screens composed of many parts, and masters taken in."""

from matinee.gateway.service.intake import Intake
from matinee.gateway.service.screens import Screens

__all__ = ["Intake", "Screens"]
