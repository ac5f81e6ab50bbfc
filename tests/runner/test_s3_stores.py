"""What is peculiar to the stores that users have, as their documents and public reports say it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from features import s3
from features.s3 import store as s3_store
from runner.errors import RunnerError
from tests.lab.answers import Answer, Fault
from tests.lab.s3_server import ACCESS, SECRET, Bucket, serving
from tests.runner.stores import store_at


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setattr(s3_store, "RETRY_SECONDS", (0.01,))
    bucket = Bucket({"shapes/a.txt": b"alpha", "shapes/b.txt": b"beta"})
    with serving(bucket) as server:
        bucket.url = f"http://127.0.0.1:{server.server_port}"
        yield bucket


@pytest.fixture
def store(bucket: Bucket, tmp_path: Path) -> s3.Store:
    return store_at(bucket.url, tmp_path, ACCESS, SECRET)


def answer(status: int, code: str, message: str, more: str = "", headers: dict[str, str] | None = None) -> Answer:
    text = f"<Error><Code>{code}</Code><Message>{message}</Message>{more}<RequestId>1</RequestId></Error>"
    return Answer(status, {"Content-Type": "application/xml", **(headers or {})}, text.encode())


def refusal(store: s3.Store, bucket: Bucket, given: Answer) -> RunnerError:
    bucket.faults.append(Fault("GET", given))
    with pytest.raises(RunnerError) as caught:
        s3.listing(store)
    return caught.value


OSS_ENDPOINT = "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint."
KEY, SECRET_KEY, DENIED = "dataset.secretName robot", "dataset.secretName robot", "dataset.bucket datasets"
ENDPOINT, REGION = "dataset.endpoint http", "dataset.region us-east-1"

REFUSALS = {
    # Aliyun OSS
    "oss: no such key": (answer(403, "InvalidAccessKeyId", "The OSS Access Key Id you provided does not exist in our records.", headers={"x-oss-request-id": "1"}), KEY, "correct ACCESS in that secret"),
    "oss: wrong secret": (answer(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method."), SECRET_KEY, "correct SECRET in that secret"),
    "oss: another region": (answer(403, "AccessDenied", OSS_ENDPOINT, "<Bucket>datasets</Bucket><Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint>"), ENDPOINT, "set dataset.endpoint to http://oss-cn-beijing.aliyuncs.com"),
    "oss: no right": (answer(403, "AccessDenied", "You have no right to access this object because of bucket acl."), DENIED, "allow the key of secret robot to list and read this bucket"),
    "oss: no such bucket": (answer(404, "NoSuchBucket", "The specified bucket does not exist."), DENIED, "correct dataset.bucket"),
    "oss: a name that none has": (answer(400, "InvalidBucketName", "The specified bucket is not valid."), DENIED, "correct dataset.bucket"),
    "oss: the clock": (answer(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."), DENIED, "set the clock"),
    "oss: a bill": (answer(403, "UserDisable", "UserDisable"), DENIED, "look into the account's bills"),
    "oss: a token that ended": (answer(403, "SecurityTokenExpired", "The security token you provided has expired."), KEY, "their session has ended"),
    # Tencent COS
    "cos: no such key": (answer(403, "InvalidAccessKeyId", "The Access Key Id you provided does not exist in our records", "<Resource>datasets.cos.ap-beijing.myqcloud.com/</Resource><TraceId>1</TraceId>"), KEY, "correct ACCESS in that secret"),
    "cos: wrong secret": (answer(403, "SignatureDoesNotMatch", "The Signature you specified is invalid."), SECRET_KEY, "correct SECRET in that secret"),
    "cos: wrong secret, too": (answer(403, "AuthFailure", "The provided credentials could not be validated."), SECRET_KEY, "correct SECRET in that secret"),
    "cos: no right": (answer(403, "AccessDenied", "Access Denied."), DENIED, "allow the key of secret robot"),
    "cos: a token that ended": (answer(403, "ExpiredToken", "Request has expired"), KEY, "their session has ended"),
    # AWS
    "aws: another region, by the host": (answer(301, "PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint.", "<Endpoint>datasets.s3.eu-west-1.amazonaws.com</Endpoint>", {"x-amz-bucket-region": "eu-west-1"}), ENDPOINT, "set dataset.endpoint to http://s3.eu-west-1.amazonaws.com, and dataset.region to eu-west-1"),
    "aws: another region": (answer(400, "AuthorizationHeaderMalformed", "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-central-1'", "<Region>eu-central-1</Region>"), REGION, "set dataset.region to eu-central-1"),
    "aws: a token of another key": (answer(400, "InvalidToken", "The provided token is malformed or otherwise invalid."), KEY, "add the session token to that secret as AWS_SESSION_TOKEN"),
    "aws: a closed account": (answer(403, "AllAccessDisabled", "All access to this object has been disabled"), DENIED, "look into the account's bills"),
    "aws: the clock": (answer(403, "RequestTimeTooSkewed", "The difference between the request time and the server's time is too large."), DENIED, "set the clock"),
    # Others
    "garage: its region": (answer(400, "AuthorizationHeaderMalformed", "Authorization header malformed, unexpected scope: 20261126/us-east-1/s3/aws4_request", "<Region>garage</Region>"), REGION, "set dataset.region to garage"),
    "ceph: its region": (answer(400, "AuthorizationHeaderMalformed", "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-nl-1'", "<Region>eu-nl-1</Region>"), REGION, "set dataset.region to eu-nl-1"),
    "r2: no such region": (answer(400, "InvalidRegionName", "The region name 'us-east-2' is not valid. Must be one of: wnam, enam, weur, eeur, apac, oc, auto"), REGION, "set dataset.region to one that the store has"),
    "google: no such key": (answer(403, "InvalidSecurity", "The provided security credentials are not valid."), KEY, "correct ACCESS in that secret"),
    "minio: http to its https": (Answer(400, {}, b"Client sent an HTTP request to an HTTPS server.\n"), ENDPOINT, "set dataset.endpoint to https://127.0.0.1"),
    "nginx: http to its https": (Answer(400, {}, b"<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>"), ENDPOINT, "set dataset.endpoint to https://127.0.0.1"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_names_the_key_of_the_values_and_what_to_do(store: s3.Store, bucket: Bucket, name: str) -> None:
    given, what, fix = REFUSALS[name]
    told = refusal(store, bucket, given)
    assert told.exit.name == "prepare-failed"
    assert told.reason.startswith(what), told.reason
    assert fix in told.fix
    assert SECRET not in told.reason + told.fix


def test_a_region_of_aws_has_a_server_of_its_own(store: s3.Store) -> None:
    from features.s3.place import RefusedError
    from features.s3.refusals import explain

    there = replace(store, endpoint="https://s3.us-east-1.amazonaws.com")
    refused = RefusedError(400, "AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong", "eu-west-1")
    assert (
        explain(there, None, refused).fix
        == "set dataset.region to eu-west-1, and dataset.endpoint to the server of that region"
    )


def test_a_temporary_key_without_its_token_is_recognized(store: s3.Store, bucket: Bucket) -> None:
    """AWS says that such keys do not exist; they begin with ASIA, and those of Aliyun with STS."""
    for access in ("ASIAIOSFODNN7EXAMPLE", "STS.NUgYrLnoC37mZZCNnAbez"):
        (Path(store.credentials) / "ACCESS").write_text(access)
        given = answer(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
        assert "add the session token to that secret as AWS_SESSION_TOKEN" in refusal(replace(store), bucket, given).fix


LISTINGS = {
    "google: another namespace": b"<ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'>%s<IsTruncated>false</IsTruncated></ListBucketResult>",
    "cos: no namespace": b"<ListBucketResult><Name>datasets</Name>%s<IsTruncated>false</IsTruncated></ListBucketResult>",
    "oss: its own namespace": b'<ListBucketResult xmlns="http://doc.oss-cn-hangzhou.aliyuncs.com"><EncodingType>url</EncodingType>%s<IsTruncated>false</IsTruncated><KeyCount>2</KeyCount></ListBucketResult>',
    "no IsTruncated at all": b"<ListBucketResult>%s</ListBucketResult>",
}


@pytest.mark.parametrize("name", LISTINGS)
def test_listings_differ_in_what_they_leave_out(store: s3.Store, bucket: Bucket, name: str) -> None:
    # The ETag of an object that was uploaded in parts is no MD5.
    rows = b"<Contents><Key>shapes/a%2Bb.txt</Key><Size>5</Size><ETag>&quot;5B3C1A2E053D763E1B002CC607C5A0FE-2&quot;</ETag></Contents>"
    bucket.faults.append(
        Fault("GET", Answer(200, {"Content-Type": "application/xml"}, LISTINGS[name].replace(b"%s", rows)))
    )
    (item,) = s3.listing(store)
    assert item.key == ("a+b.txt" if "EncodingType" in LISTINGS[name].decode() else "a%2Bb.txt")
    assert (item.size, s3.content_digest(item)) == (5, "")


def test_an_etag_in_capitals_is_an_md5_too() -> None:
    item = s3.Item("a.txt", 5, "5D41402ABC4B2A76B9719D911017C592")
    assert s3.content_digest(item) == "md5:5d41402abc4b2a76b9719d911017c592"


def test_a_store_that_knows_only_the_first_version_of_listings_is_read_to_the_end(
    store: s3.Store, bucket: Bucket
) -> None:
    """Huawei OBS, and older stores: a truncated listing without a token goes on after its last key."""
    bucket.objects = {f"shapes/{number:02} ä+": b"x" for number in range(25)} | {"shapes/folder/": b""}
    bucket.page, bucket.versions = 4, (1,)
    assert len(s3.listing(store)) == 25
    assert sum("marker=" in request for request in bucket.requests) == 6
