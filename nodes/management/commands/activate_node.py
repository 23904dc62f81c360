from nodes.management.naming import IntentCommand
from nodes.states import Intent


class Command(IntentCommand):
    help = "Give a node databases again."
    intent = Intent.ACTIVE
