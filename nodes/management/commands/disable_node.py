from nodes.management.naming import IntentCommand
from nodes.states import Intent


class Command(IntentCommand):
    help = "Give a node no more databases, because something is wrong with it."
    intent = Intent.DISABLED
