"""Signature Version 4 of a plain GET.

Botocore's signs anything, and takes as long for it as all else that a small object needs.
"""

import hashlib
import hmac
import time
from typing import Any, Final

_EMPTY: Final = hashlib.sha256(b"").hexdigest()


class Signer:
    """Signs GETs of one host; may be used from several threads."""

    def __init__(self, host: str, region: str) -> None:
        self.host, self._region = host, region
        self._key: tuple[str, str, bytes] = "", "", b""
        """Secret and day, and what is derived from them."""

    def headers(self, path: str, query: str, credentials: Any, now_s: float | None = None) -> dict[str, str]:
        """What a GET of *path* has to carry; *path* and *query* are encoded, *query* has one name or none."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
        signed = {"Host": self.host, "X-Amz-Content-SHA256": _EMPTY, "X-Amz-Date": stamp}
        if credentials.token:
            signed["X-Amz-Security-Token"] = credentials.token
        names = ";".join(signed).lower()  # they are in order
        lines = "".join(f"{name.lower()}:{value}\n" for name, value in signed.items())
        asked = hashlib.sha256(f"GET\n{path}\n{query}\n{lines}\n{names}\n{_EMPTY}".encode()).hexdigest()
        scope = f"{stamp[:8]}/{self._region}/s3/aws4_request"
        key = self._key_for(credentials.secret_key, stamp[:8])
        seal = hmac.digest(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{asked}".encode(), "sha256").hex()
        signed["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={seal}"
        )
        return signed

    def _key_for(self, secret: str, day: str) -> bytes:
        known = self._key
        if known[:2] == (secret, day):
            return known[2]
        key = f"AWS4{secret}".encode()
        for word in (day, self._region, "s3", "aws4_request"):
            key = hmac.digest(key, word.encode(), "sha256")
        self._key = secret, day, key
        return key
