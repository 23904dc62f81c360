from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_out
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from accounts import roles, sign_in

        post_migrate.connect(roles.make_groups, sender=self)
        user_logged_out.connect(sign_in.record_sign_out)
