"""Exports a trained run to the file of another runtime, and runs that file there before it is given its name.

Every file takes uint8 images [N, H, W, C], gives probabilities [N, classes], and carries its label names and where it
comes from (see `metadata`). A format is a module with the same two functions, `write(path, content)` and
`open_file(path)`, and the only one
that imports the format's libraries.
"""
