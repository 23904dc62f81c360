"""What can be wrong with a request of an operator, in a sentence that says what to do."""


class AccountError(Exception):
    """Base of the errors below; the message is for the person who asked."""


class NoSuchAccount(AccountError):
    pass


class NoSuchToken(AccountError):
    pass


class NameTaken(AccountError):
    pass


class UnknownScope(AccountError):
    pass


class NoSuchPerson(AccountError):
    pass


class BadEmail(AccountError):
    pass
