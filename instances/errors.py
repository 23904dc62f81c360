"""Why a database could not be had or changed. Each message is for the customer who asked."""


class InstanceError(Exception):
    pass


class NotFound(InstanceError):
    def __init__(self) -> None:
        super().__init__("This account has no such instance.")


class InvalidTransition(InstanceError):
    def __init__(self, verb: str, status: str) -> None:
        super().__init__(f"The instance is {status}; {verb} is not possible then. Wait for its status to change.")
        self.status = status


class NoPassword(InstanceError):
    def __init__(self) -> None:
        super().__init__("This instance has no password.")


class UnknownRegion(InstanceError):
    def __init__(self, slug: str, known: list[str]) -> None:
        super().__init__(f"There is no region {slug!r}. The regions are: {', '.join(known) or 'none yet'}.")


class DatabaseLimitReached(InstanceError):
    def __init__(self, limit: int) -> None:
        super().__init__(f"The plan's limit of {limit} databases is reached. Delete one, or choose a larger plan.")


class NoNodeAvailable(InstanceError):
    """`reason` is for the operator: which of the conditions no node meets."""

    def __init__(self, reason: str) -> None:
        super().__init__("No node can take the instance right now. Try another region, or again later.")
        self.reason = reason


class IdempotencyKeyReused(InstanceError):
    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used with another body. Use a new key for a new request.")
