"""The agent: the program on a node. One JSON request on standard input, one JSON answer on standard output.

An island: standard library only (Python 3.10 or newer), imports nothing of ours, and nothing imports it. It
is packed into one file by `nodes.packing` and keeps its state beside that file. Start-up time is most of what
a request costs, so heavy modules (subprocess, shutil, typing, dataclasses) are imported late or not at all.
"""
