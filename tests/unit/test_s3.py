"""S3 without a store: URLs and error responses."""

from __future__ import annotations

import pytest

from matinee.drivers import s3
from matinee.drivers.engine import EngineUnavailable, StoreFull
from matinee.drivers.objects import ObjectStore
from matinee.drivers.s3 import BadStoreUrl, BucketMissing, S3Location, StoreRefused


def test_url_is_parsed() -> None:
    location = S3Location.parse("s3://key:s%2Fe%2Bc@films/a/b/?endpoint=http://127.0.0.1:9&region=eu-west-1", {})
    assert (location.key_id, location.secret, location.bucket, location.prefix) == ("key", "s/e+c", "films", "a/b")
    assert (location.bucket_url, location.region, location.engine) == (
        "http://127.0.0.1:9/films",
        "eu-west-1",
        "s3 at 127.0.0.1:9",
    )
    virtual_hosted = S3Location.parse("s3://films?endpoint=https://store.example&style=virtual&checksum=none", {})
    assert (virtual_hosted.bucket_url, virtual_hosted.checksum, virtual_hosted.key_id) == (
        "https://films.store.example",
        False,
        "",
    )
    assert S3Location.parse("s3://films", {}).bucket_url == "https://s3.us-east-1.amazonaws.com/films"


def test_environment_completes_a_url() -> None:
    environment = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }
    location = S3Location.parse("s3://films", environment)
    assert (location.key_id, location.secret, location.token) == ("key", "secret", "token")
    assert location.bucket_url == "http://127.0.0.1:9/films"
    assert S3Location.parse("s3://own:secret@films", environment).token == ""


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://key@films",
        "s3://films?endpiont=http://h",
        "s3://films?endpoint=h:1",
        "s3://films?style=cloud",
        "s3://films?checksum=md5",
        "gs://films",
    ],
)
def test_invalid_url_is_refused_without_showing_its_secret(url: str) -> None:
    with pytest.raises(BadStoreUrl) as refused:
        ObjectStore(url.replace("//", "//key:hunter2@", 1) if url.count("@") == 0 else url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", StoreRefused),
        (403, "QuotaExceeded", StoreFull),
        (507, "InsufficientStorage", StoreFull),
        (507, "", StoreFull),
        (404, "NoSuchBucket", BucketMissing),
        (404, "NoSuchUpload", s3.MultipartUploadNotFound),
        (503, "SlowDown", EngineUnavailable),
        (500, "InternalError", EngineUnavailable),
        (429, "", EngineUnavailable),
        (301, "PermanentRedirect", StoreRefused),
        (400, "AuthorizationHeaderMalformed", StoreRefused),
    ],
)
def test_error_response_is_mapped_to_a_problem(status: int, code: str, kind: type[Exception]) -> None:
    location = S3Location.parse("s3://films", {})
    assert type(s3.to_problem(location, status, code, "Why.", operation="PutObject", key="a")) is kind


def test_location_relative_to_another() -> None:
    deployment = S3Location.parse("s3://films/deployment?endpoint=http://h:1", {})
    assert (
        S3Location.parse("s3://films/deployment/uploads?endpoint=http://h:1", {}).relative_to(deployment) == "uploads"
    )
    assert S3Location.parse("s3://films/deployment/a/b?endpoint=http://h:1", {}).relative_to(deployment) == "a/b"
    for other in (
        "s3://films/deployments/a?endpoint=http://h:1",
        "s3://films/deployment/a",
        "s3://others/deployment/a",
    ):
        assert S3Location.parse(other, {}).relative_to(deployment) is None
    assert S3Location.parse("s3://films/uploads", {}).relative_to(S3Location.parse("s3://films", {})) == "uploads"
