"""Runs the system's own programs."""

import subprocess


class Failed(Exception):
    """A program ended with an error; the message has its last words."""


def run(*command: object, stdin: str | None = None, timeout: float = 60) -> str:
    """Its output. Raises Failed."""
    words = [str(word) for word in command]
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise Failed(f"{' '.join(words)}: exit status {done.returncode}\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def attempt(*command: object) -> bool:
    try:
        run(*command)
    except Failed:
        return False
    return True
