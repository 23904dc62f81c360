"""Sessions in the database, under a digest of their keys: who reads the table, a backup of it, or a statement in
PostgreSQL's log, cannot take over anybody's session.

Django's own store, but for the four places where it names a row by its key.
"""

import hashlib
from typing import Any

from django.contrib.sessions.backends import db
from django.contrib.sessions.base_session import AbstractBaseSession
from django.utils import timezone

# As long as the column; 160 bits of SHA-256.
LENGTH = 40


def digest(key: str | None) -> str:
    return hashlib.sha256((key or "").encode()).hexdigest()[:LENGTH]


class SessionStore(db.SessionStore):
    def _get_session_from_db(self) -> AbstractBaseSession | None:
        live = self.model._default_manager.filter(expire_date__gt=timezone.now())
        found: AbstractBaseSession | None = live.filter(session_key=digest(self.session_key)).first()
        if found is None:
            self._session_key = None
        return found

    def exists(self, session_key: str) -> bool:
        return super().exists(digest(session_key))

    def create_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        made = super().create_model_instance(data)
        made.session_key = digest(made.session_key)
        return made

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key:
            super().delete(digest(key))
