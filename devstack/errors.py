class StackError(Exception):
    """What is wrong, in one sentence for the person at the terminal; never shown as a trace."""
