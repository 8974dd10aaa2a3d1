# Copyright 2026 fg2_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

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
