"""URLs of OpenSearch."""

import pytest

from matinee.drivers.opensearch import OpenSearchUrl


def test_parts() -> None:
    url = OpenSearchUrl.parse("opensearch://me:s%40crt@10.0.0.1:9201,search.example,[::1]:9/films?ca=/ca.pem&shards=3")
    assert url.hosts == [("10.0.0.1", 9201), ("search.example", 9200), ("::1", 9)]
    assert (url.namespace, url.user, url.password) == ("films", "me", "s@crt")
    assert (url.has_tls, url.ca_file, url.shards, url.replicas) == (True, "/ca.pem", 3, "0-1")


def test_defaults() -> None:
    url = OpenSearchUrl.parse("opensearch://localhost")
    assert (url.hosts, url.namespace, url.user, url.has_tls) == ([("localhost", 9200)], "matinee", "", False)
    assert OpenSearchUrl.parse("opensearch://localhost?tls=true").has_tls


@pytest.mark.parametrize(
    "url",
    [
        "opensearch://",
        "opensearch://host:port",
        "opensearch://a,,b",
        "opensearch://host/Films",
        "opensearch://host/a/b",
        "opensearch://host?shards=0",
        "opensearch://host?shards=x",
        "opensearch://host?replicas=1",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"host:port|shards"):
        OpenSearchUrl.parse(url)
