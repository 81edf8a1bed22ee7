"""Mounting and unmounting, seen from outside: checks, the serving process, who is in the way."""
