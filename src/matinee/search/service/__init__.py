"""The service of search: finding, keeping the index as the catalogue is, and counting what viewers search for."""

from matinee.search.service.affinities import Affinities
from matinee.search.service.browsing import Browser
from matinee.search.service.editing import Editor
from matinee.search.service.finding import SearchService
from matinee.search.service.indexing import Indexer
from matinee.search.service.recording import Recorder
from matinee.search.service.reporting import ReportingSearchService
from matinee.search.service.trending import Trending

__all__ = [
    "Affinities",
    "Browser",
    "Editor",
    "Indexer",
    "Recorder",
    "ReportingSearchService",
    "SearchService",
    "Trending",
]
