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

"""Figures of a run for TensorBoard."""

from __future__ import annotations

import logging
from numbers import Real
from pathlib import Path

_logger = logging.getLogger(__name__)


class EventFiles:
    """
    Writes event files that TensorBoard shows; does nothing where `tensorboardX` is missing.

    :param folder: of the event files.
    :param step: the last step of a run that goes on; what was written beyond it is taken back.
    """

    def __init__(self, folder: Path, step: int):
        self._writer = None
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            _logger.info('no files for TensorBoard are written: pip install tensorboardX')
            return
        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def write(self, record: dict) -> None:
        """Write the numbers of a record as scalars of its ``step``."""
        if self._writer is None:
            return
        for name, value in record.items():
            if name != 'step' and isinstance(value, Real):
                validated = name.removeprefix('validation_')
                group = 'training' if validated == name else 'validation'
                self._writer.add_scalar(f'{group}/{validated}', value, record['step'])

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()
