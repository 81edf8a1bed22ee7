"""``agent.commit_policy``: which requests to commit are accepted."""

from anvcs.errors import AnvcsError
from anvcs.model.request import CommitRequest


class CommitAgainstPolicy(AnvcsError):
    """The repository's configuration doesn't allow this commit."""

    def __init__(self) -> None:
        super().__init__(
            "agent.commit_policy is tests_passed here: a commit must say that the tests passed"
            " (--tests-passed, or tests_passed: true in the request)"
        )


def check_policy(policy: str, request: CommitRequest) -> None:
    """Raise `CommitAgainstPolicy` unless *policy* accepts *request*."""
    if policy == "tests_passed" and request.tests_passed is not True:
        raise CommitAgainstPolicy
