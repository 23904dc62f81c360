from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "basekv.console"
