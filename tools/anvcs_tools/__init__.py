"""What a person or a script runs: the ``ai-vcs`` command, checks and benchmarks."""
