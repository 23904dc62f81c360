"""python -m devstack run | demo"""

import argparse
import sys

from devstack import demo, stack
from devstack.console import complain
from devstack.errors import StackError
from devstack.state import State

COMMANDS = {"run": stack.run, "demo": demo.tour}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m devstack", description="BaseKV on this machine, all of it.")
    parser.add_argument("command", choices=COMMANDS, help="run: until Ctrl-C. demo: a tour of it, as a customer")
    command, state = COMMANDS[parser.parse_args().command], State.chosen()
    try:
        command(state)
    except StackError as error:
        complain(str(error))
    except OSError as error:
        # Of the state directory: nothing else is written.
        complain(f"{error.filename or state.root}: {error.strerror}. BASEKV_STATE=DIR chooses another directory.")
    except KeyboardInterrupt:
        complain("Interrupted.")
    else:
        return 0
    return 1


sys.exit(main())
