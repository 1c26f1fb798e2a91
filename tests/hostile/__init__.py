"""Hostile input for every reader of files, and what must hold of each: shared by the tests and the long fuzzing."""
