"""The web server's way in: granian --interface wsgi basekv.wsgi:application."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "basekv.settings")

application = get_wsgi_application()
