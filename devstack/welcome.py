"""What to do with a stack that is ready."""

import shlex
from collections.abc import Mapping

from devstack.console import say
from devstack.state import State

# The token is spelt out in each line, so that it works in whatever terminal it is pasted into.
TEXT = """
Ready in {seconds:.1f} s.

  API      {BASEKV_URL}/api/v1/    its documentation: {BASEKV_URL}/api/docs/
  Console  {BASEKV_ADMIN_URL}    sign in as {BASEKV_ADMIN_EMAIL} with {BASEKV_ADMIN_PASSWORD}
  Shell    set -a; . {env_file}; set +a    and then, for example: .venv/bin/python manage.py list_nodes

Who am I, a database, its password (paste them into another terminal):

  curl {auth} {api}/whoami

  curl {auth} {api}/instances -H 'Content-Type: application/json' -d '{{"name": "first"}}'

  curl {auth} -X POST {api}/instances/$({first})/credentials/reveal

Ctrl-C stops everything and keeps it for the next start.
"""


def say_where(state: State, env: Mapping[str, str], seconds: float) -> None:
    api = f"{env['BASEKV_URL']}/api/v1"
    auth = f"-H 'Authorization: Bearer {env['BASEKV_TOKEN']}'"
    first = f"curl -s {auth} {api}/instances | grep -oE '[0-9a-f-]{{36}}' | head -1"
    env_file = shlex.quote(state.shown(state.env_file))
    say(TEXT.format(**env, api=api, auth=auth, first=first, env_file=env_file, seconds=seconds))
