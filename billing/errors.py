class BillingError(Exception):
    """The message is for the operator who asked."""


class NoSuchPlan(BillingError):
    pass


class BadSlug(BillingError):
    pass
