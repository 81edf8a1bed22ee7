"""Fixtures of the tests whose views talk to a server."""

from support.s3 import proxy, s3_server

__all__ = ["proxy", "s3_server"]
