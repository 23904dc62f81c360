from nodes.management.naming import IntentCommand
from nodes.states import Intent


class Command(IntentCommand):
    help = "Give a node no more databases; those it has stay."
    intent = Intent.DRAINING
