"""Waiting for a file descriptor, whatever its number: ``select`` takes none above 1023."""

import select


def is_readable(descriptor: int, timeout_s: float) -> bool:
    """Whether *descriptor* can be read within *timeout_s* seconds; a pidfd can when its process has ended."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
