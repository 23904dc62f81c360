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
    try:
        COMMANDS[parser.parse_args().command](State.chosen())
    except StackError as error:
        complain(str(error))
    except OSError as error:
        # Of the state directory, as everything else is asked over the network and answers for itself.
        complain(f"{error.filename or 'The machine'}: {error.strerror}. BASEKV_STATE=DIR chooses another directory.")
    except KeyboardInterrupt:
        complain("Interrupted.")
    else:
        return 0
    return 1


sys.exit(main())
