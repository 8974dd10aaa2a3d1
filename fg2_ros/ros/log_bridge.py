"""The libraries' `logging` records in the ROS log."""

from __future__ import annotations

import logging


class LogBridge(logging.Handler):
    """
    Forward what the package logs to a ROS logger, until closed.

    :param logger: of the node.
    """

    def __init__(self, logger):
        """Start to forward."""
        super().__init__(logging.INFO)
        self._logger = logger
        self._source = logging.getLogger('fg2_ros')
        self._level = self._source.level
        self._source.setLevel(logging.INFO)  # or else the root logger's level counts
        self._source.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Forward one record."""
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)

    def close(self) -> None:
        """Stop forwarding."""
        self._source.removeHandler(self)
        self._source.setLevel(self._level)
        super().close()
