"""Masking of engine URLs: every form in the how-to guides, with only the secrets hidden."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.kit import url

HOW_TOS = Path("docs/howto/engines")
# The masked form of each URL in the how-to guides; None: unchanged.
DOCUMENTED = {
    "cassandra://10.0.0.1:9042,10.0.0.2:9042,10.0.0.3:9042/matinee?dc=eu": None,
    "cassandra://10.0.0.1:9042,10.0.0.2:9042,10.0.0.3:9042/matinee?dc=eu&replication=eu:3,us:3": None,
    "etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379/matinee": None,
    "kafka://10.0.0.1:9092,10.0.0.2:9092,10.0.0.3:9092/matinee": None,
    "memcached://a@10.0.1.1:11211,a@10.0.1.2:11211,b@10.0.2.1:11211,b@10.0.2.2:11211/deployment?near=a": None,
    "mysql+asyncmy://matinee:secret@10.0.0.7:3306/matinee": "mysql+asyncmy://matinee:•••@10.0.0.7:3306/matinee",
    "opensearch://10.0.0.1:9200,10.0.0.2:9200,10.0.0.3:9200/matinee?tls=true": None,
    "redis://10.0.0.6:6379/0?prefix=deployment": None,
    "redis://:secret@10.0.0.5:6379/0?prefix=deployment": "redis://:•••@10.0.0.5:6379/0?prefix=deployment",
    "s3://KEY:SECRET@films/deployment?endpoint=https://s3.example.org&region=eu-west-1": (
        "s3://KEY:•••@films/deployment?endpoint=https://s3.example.org&region=eu-west-1"
    ),
    "s3://KEY:SECRET@films/deployment/uploads?endpoint=https://s3.example.org&region=eu-west-1": (
        "s3://KEY:•••@films/deployment/uploads?endpoint=https://s3.example.org&region=eu-west-1"
    ),
}
MASKED = [
    # One host.
    ("mysql://u:secret@h:3306/d?x=1", "mysql://u:•••@h:3306/d?x=1"),
    ("mysql://u:sec@ret@[::1]:99999/d", "mysql://u:•••@[::1]:99999/d"),
    ("mysql://u@h/d", "mysql://u@h/d"),
    ("redis://:secret@h", "redis://:•••@h"),
    ("rediss://u:secret@h:6379/0", "rediss://u:•••@h:6379/0"),
    ("sqlite:////x.db", "sqlite:////x.db"),
    ("sqlite:////home/me@here/a:b/x.db", "sqlite:////home/me@here/a:b/x.db"),
    ("file:///var/a%20b@c", "file:///var/a%20b@c"),
    ("memory://", "memory://"),
    ("kubernetes:", "kubernetes:"),
    ("", ""),
    # Several hosts.
    ("memcached://127.0.0.1:11211/deployment", "memcached://127.0.0.1:11211/deployment"),
    ("memcached://h1,b@h2,c@[::1]:1/n?near=b", "memcached://h1,b@h2,c@[::1]:1/n?near=b"),
    ("cassandra://u:secret@h1,h2:9042,h3/k?dc=eu", "cassandra://u:•••@h1,h2:9042,h3/k?dc=eu"),
    ("etcd://u:12,secret@h1:1,h2:2/k", "etcd://u:•••@h1:1,h2:2/k"),
    ("memcached://u:secret@h1:1,a@h2:2/k", "memcached://u:•••@h2:2/k"),
    ("cassandra://u:se,cr:et@h1:1,h2:2/k", "cassandra://u:•••@h1:1,h2:2/k"),
    ("etcd://u:secret@h1:2379,h2:2379/m?ca=/etc/ca.pem", "etcd://u:•••@h1:2379,h2:2379/m?ca=/etc/ca.pem"),
    ("etcd://h1:2379,h2/m?ca=/home/me@here/ca.pem", "etcd://h1:2379,h2/m?ca=/home/me@here/ca.pem"),
    ("kafka://u:secret@h1:9092,[::2]:9092/m", "kafka://u:•••@h1:9092,[::2]:9092/m"),
    # Secrets in the query.
    ("unix:///run/redis.sock?db=0&password=secret", "unix:///run/redis.sock?db=0&password=•••"),
    ("redis://h?Password=secret&prefix=p#x", "redis://h?Password=•••&prefix=p#x"),
    (
        "kafka://h/m?security.protocol=SASL_SSL&sasl.mechanisms=PLAIN&sasl.username=u&sasl.password=secret",
        "kafka://h/m?security.protocol=SASL_SSL&sasl.mechanisms=PLAIN&sasl.username=u&sasl.password=•••",
    ),
    (
        "kafka://h/m?ssl.key.location=/k.pem&ssl.key.password=secret&ssl.key.pem=secret&ssl.ca.location=/c.pem",
        "kafka://h/m?ssl.key.location=/k.pem&ssl.key.password=•••&ssl.key.pem=•••&ssl.ca.location=/c.pem",
    ),
    (
        "kafka://h/m?sasl.oauthbearer.client.secret=secret&sasl.oauthbearer.config=a=secret",
        "kafka://h/m?sasl.oauthbearer.client.secret=•••&sasl.oauthbearer.config=•••",
    ),
    ("s3://b/p?access_key=secret&x-amz-security-token=secret", "s3://b/p?access_key=•••&x-amz-security-token=•••"),
    ("s3://b/p?endpoint=http://u:secret@h:1&region=r", "s3://b/p?endpoint=http://u:•••@h:1&region=r"),
    ("s3://b/p?endpoint=http%3A%2F%2Fu%3Asecret%40h", "s3://b/p?endpoint=http://u:•••@h"),
    # Unescaped passwords.
    ("s3://KEY:se/cr+et@films/deployment?region=r", "s3://KEY:•••@films/deployment?region=r"),
    ("mysql://u:12/secret@h:3306/d", "mysql://u:•••@h:3306/d"),
    ("mysql://u:se?cret@h:3306/d", "mysql://u:•••@h:3306/d"),
    ("s3://KEY:se@b/cret@films/deployment", "s3://KEY:•••@films/deployment"),
    ("mysql://u:se#cret@h:3306/d", "mysql://u:•••@h:3306/d"),
]


@pytest.mark.parametrize(("given_url", "shown"), [*((one, shown or one) for one, shown in DOCUMENTED.items()), *MASKED])
def test_only_secrets_are_hidden(given_url: str, shown: str) -> None:
    assert url.mask(given_url) == shown
    assert "secret" not in url.mask(given_url).replace(".secret=", "")


def test_every_url_of_the_how_tos_is_covered() -> None:
    pattern = r"""^    \w+ = "([a-z0-9+]+://[^"]+)"$"""
    found = {one for page in HOW_TOS.glob("*.md") for one in re.findall(pattern, page.read_text(), re.MULTILINE)}
    assert found == set(DOCUMENTED)


@given(
    st.sampled_from(["mysql+asyncmy", "redis", "cassandra", "etcd", "kafka", "s3"]),
    st.text(alphabet="ab1,:@[]/?#&%+ ", max_size=8),
    st.sampled_from(["h", "h:1", "h1:1,h2:2", "[::1]:1"]),
    st.sampled_from(["", "/n", "/n?dc=eu"]),
)
def test_a_password_is_never_shown(engine: str, noise: str, hosts: str, rest: str) -> None:
    # Only `user:12?x=…@` cannot be distinguished from a host with a port and options.
    shown = url.mask(f"{engine}://user:a{noise}s3cr3t@{hosts}{rest}")
    assert "s3cr3t" not in shown
