"""The process that serves a view, in parts."""

import logging

from anvcsfs.server import worth_telling


def said(text: str, *values: str) -> logging.LogRecord:
    return logging.LogRecord("pyfuse3", logging.ERROR, "handlers", 1, text, values, None)


def test_a_reply_that_worth_telling_for_is_no_fault():
    assert not worth_telling(said("fuse_release(): fuse_reply_* failed with %s", "No such file or directory"))
    assert worth_telling(said("fuse_release(): fuse_reply_* failed with %s", "Invalid argument"))
    assert worth_telling(said("cannot read: %s", "No such file or directory"))
