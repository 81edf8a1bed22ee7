"""Fixtures of the tests that talk to a server."""

from support.ipfs import ipfs_node, real_ipfs
from support.s3 import proxy, s3, s3_server

__all__ = ["ipfs_node", "proxy", "real_ipfs", "s3", "s3_server"]
