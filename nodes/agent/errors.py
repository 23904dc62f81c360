"""The one way in which a request fails on purpose."""


class Refusal(Exception):
    """Becomes the answer `{"ok": false, code, error, retry}`.

    `retry` says whether the same request can succeed later without anybody changing anything.
    """

    def __init__(self, code: str, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.code = code
        self.retry = retry
