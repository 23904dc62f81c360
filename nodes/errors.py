"""How a conversation with a node can fail. `permanent` errors stay until a person does something."""


class NodeError(Exception):
    """Base of all; the message is for an operator."""

    permanent = False


class TransportError(NodeError):
    """There is no answer of the agent: nobody knows whether it did anything."""


class Unreachable(TransportError):
    """No connection, or none that lasted until the answer."""


class HostKeyMismatch(TransportError):
    """Somebody else answers at the node's address, or the node was set up anew. Never retried by itself."""

    permanent = True

    def __init__(self, message: str, seen: str) -> None:
        super().__init__(message)
        self.seen = seen
        """The host key that was seen: one OpenSSH public key line."""


class LoginRefused(TransportError):
    """The node does not accept our key, or we have none."""

    permanent = True


class Abandoned(TransportError):
    """This process is about to end and has stopped listening."""


class Garbage(TransportError):
    """What answered is not the agent."""


class AgentError(NodeError):
    """The agent answered that it did not do it."""

    def __init__(self, code: str, message: str, permanent: bool) -> None:
        super().__init__(message)
        self.code = code
        self.permanent = permanent


class RotationError(NodeError):
    """A node has not come as far with a new SSH key as it should; the message says what to do."""

    permanent = True


class UpgradeError(NodeError):
    """A node does not have the agent that it was given."""


class EnrolmentError(NodeError):
    """A step of an enrolment failed; the message says what to do."""

    permanent = True
