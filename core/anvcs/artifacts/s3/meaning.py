"""What an answer of S3, or none, means: one of our errors."""

import email.utils
import time
from collections.abc import Mapping
from typing import Any, Final

from botocore import exceptions as boto
from urllib3.exceptions import HTTPError

from anvcs.artifacts.errors import (
    AccessDenied,
    ClockSkewed,
    CredentialsBad,
    NoSuchBucket,
    NoSuchVersion,
    StorageNotConfigured,
    StoreBusy,
    StoreRefused,
    StoreUnreachable,
    TransferBroken,
)

SKEW_S: Final = 270.0
"""S3 refuses signatures that are 300 s off (or 900); this is where we look at the clock first."""

_CREDENTIALS = frozenset(
    {
        "AuthFailure", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId",
        "InvalidToken", "SignatureDoesNotMatch", "TokenRefreshRequired",
    }
)  # fmt: skip
_BUSY = frozenset(
    {
        "InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling",
        "ThrottlingException", "TooManyRequests",
    }
)  # fmt: skip
_REGION = frozenset({"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"})
_NOT_THERE = frozenset({404, 405})  # 405: the version is a deletion
_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.ProfileNotFound,
    boto.MetadataRetrievalError,
    boto.UnauthorizedSSOTokenError,
)
_NO_CONNECTION = (
    boto.EndpointConnectionError,
    boto.ConnectTimeoutError,
    boto.ProxyConnectionError,
    boto.SSLError,
    boto.ReadTimeoutError,
)


class NothingThere(Exception):  # no error: a range begins at the end
    """The object ends before the range that was asked for."""


def meaning(error: Exception, store: str, key: str = "", version_id: str | None = None) -> Exception:
    """Ours for an error of botocore or urllib3."""
    if isinstance(error, boto.ClientError):
        return _answered(error.response, store, key, version_id)
    if isinstance(error, _NO_CREDENTIALS):
        return CredentialsBad(store, _line(error))
    if isinstance(error, _NO_CONNECTION):
        return StoreUnreachable(store, _line(error))
    if isinstance(error, boto.HTTPClientError | boto.IncompleteReadError | HTTPError | ConnectionError | TimeoutError):
        return TransferBroken(store, f"the connection broke: {_line(error)}")
    if isinstance(error, boto.NoRegionError):
        return StorageNotConfigured("s3", "no region is known: set adapters.s3.region")
    return StoreRefused(store, _line(error))


def status_meaning(
    status: int, headers: Mapping[str, str], body: bytes, store: str, key: str, version_id: str | None
) -> Exception:
    """Ours for an answer that didn't go through botocore's parser."""
    import re

    code = re.search(rb"<Code>([A-Za-z]{1,60})</Code>", body)
    message = re.search(rb"<Message>([^<]{1,300})</Message>", body)
    response = {
        "Error": {
            "Code": code[1].decode() if code else str(status),
            "Message": message[1].decode("utf-8", "replace") if message else "",
        },
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {k.lower(): v for k, v in headers.items()}},
    }
    return _answered(response, store, key, version_id)


def _answered(response: Any, store: str, key: str, version_id: str | None) -> Exception:
    told = response.get("Error", {})
    code, status = str(told.get("Code", "")), int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    words = f"{code}: {told.get('Message') or ''}".strip(": ")
    if status == 416:
        return NothingThere()
    if code == "NoSuchBucket":
        return NoSuchBucket(store, "there is no such bucket")
    if status in _NOT_THERE or (code == "InvalidArgument" and version_id and "version" in words.lower()):
        return NoSuchVersion(store, key, version_id)
    if code in _BUSY or status == 429 or status >= 500:
        return StoreBusy(store, words or str(status))
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if status in {400, 403} and (skew := skew_of(headers)) is not None and abs(skew) > SKEW_S:
        return ClockSkewed(store, skewed(skew))
    if code == "RequestTimeTooSkewed":
        return ClockSkewed(store, "the server takes this machine's clock for wrong")
    if code in _CREDENTIALS:
        return CredentialsBad(store, words)
    if code in _REGION or status == 301:
        region = headers.get("x-amz-bucket-region")
        where = f"it is in {region}: " if region else ""
        return StoreRefused(store, f"the bucket is in another region: {where}set adapters.s3.region")
    return AccessDenied(store, words or "403") if status == 403 else StoreRefused(store, words or str(status))


def skew_of(headers: Mapping[str, str]) -> float | None:
    """Seconds by which this machine's clock is ahead of the server's, from an answer's ``Date``."""
    try:
        then = email.utils.parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return None
    return time.time() - then


def skewed(skew: float) -> str:
    """The sentence about a wrong clock."""
    return f"this machine's clock is {abs(skew) / 60:.0f} minutes {'ahead of' if skew > 0 else 'behind'} the server's"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
