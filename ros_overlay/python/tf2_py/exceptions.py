"""What a lookup in the buffer can raise."""


class TransformException(Exception):
    """Base of all exceptions of tf2."""


class ConnectivityException(TransformException):
    """The two frames belong to trees that are not connected."""


class ExtrapolationException(TransformException):
    """The time asked for lies outside what the buffer holds."""


class InvalidArgumentException(TransformException):
    """A frame's name is empty or begins with a slash."""


class LookupException(TransformException):
    """A frame does not exist, or the tree contains a loop."""


class TimeoutException(TransformException):
    """A transform did not come in time."""
