"""Fixtures of the tests that talk to an S3 server."""

from support.s3 import proxy, s3, s3_server

__all__ = ["proxy", "s3", "s3_server"]
