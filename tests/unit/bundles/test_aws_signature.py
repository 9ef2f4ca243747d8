"""The signature is the one of AWS's own example."""

from datetime import UTC, datetime

from carina.bundles.aws_signature import sign_request


def test_the_example_of_aws_is_signed_as_there() -> None:
    # "Example: GET Object" of the source: public credentials that open nothing.
    signed = sign_request(
        "https://examplebucket.s3.amazonaws.com/test.txt",
        "us-east-1",
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        None,
        datetime(2013, 5, 24, tzinfo=UTC),
        {"range": "bytes=0-9"},
    )
    assert signed["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


def test_a_temporary_account_sends_its_token() -> None:
    signed = sign_request("https://s3/b/k", "eu-central-1", "key", "secret", "token", datetime(2026, 1, 1, tzinfo=UTC))
    assert signed["x-amz-security-token"] == "token"
    assert "x-amz-security-token" in signed["Authorization"]
