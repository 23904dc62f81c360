"""What can be wrong with a request of an operator, in a sentence that says what to do."""


class AccountError(Exception):
    """Base of the errors below; the message is for the person who asked."""


class NoSuchAccount(AccountError):
    pass


class NoSuchToken(AccountError):
    pass


class NameTaken(AccountError):
    pass


class ServiceAccountDisabled(AccountError):
    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is disabled: the API would refuse a token of it. Enable it first, in the console.")


class UnknownScope(AccountError):
    pass


class NoSuchPerson(AccountError):
    pass


class BadEmail(AccountError):
    pass


class SignInRefused(AccountError):
    """Nothing in it tells whether there is such a person."""


class WrongCode(AccountError):
    def __init__(self) -> None:
        super().__init__("That code is wrong, or was used already. Wait for the next one.")


class TooManyCodes(AccountError):
    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many wrong codes. Try again in {seconds} seconds, or use a recovery code.")


class AlreadyOn(AccountError):
    def __init__(self) -> None:
        super().__init__("Your second factor is on already. Turn it off first to set up another one.")
