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

"""The model card of trained weights: data, command and accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fg2_ros.files import replacing
from fg2_ros.network.config import FG2Config

ACCURACY = {
    'validation_median_m': 'median [m]', 'validation_mean_m': 'mean [m]',
    'validation_over_5m': 'share over 5 m', 'validation_median_deg': 'yaw median [deg]',
    'validation_pose': 'pose loss [nats]'}


def write_card(weights: Path, facts: dict[str, Any], config: FG2Config) -> Path:
    """
    Write ``<weights>.md`` and return its path; an older one is replaced.

    :param facts: the metadata of the weights.
    """
    path = weights.with_suffix('.md')
    parts = (
        f'# Model card: {weights.name}\n', _table(_rows(facts, config)),
        _accuracy(facts), _drives(facts), LIMITS)
    with replacing(path) as partial:
        partial.write_text('\n'.join(parts))
    return path


def _rows(facts: dict[str, Any], config: FG2Config) -> dict[str, str]:
    start = facts['started_from']
    rows = {
        'what': f'FG² with the preset `{config.name}`, {config.grid_cells} x {config.grid_cells} '
                f'cells over {config.grid_extent_m:g} m',
        'trained on': facts['trained_on'],
        'started from': f'{start["file"]} (trained on: {start["trained_on"]}; SHA-256 '
                        f'{start["sha256"][:16]}...)' if start else 'random weights',
        'training': f'at most {facts["steps"]} steps of {facts["batch"]} samples, peak rate '
                    f'{facts["rate"]:g}; kept is the average at step '
                    f'{facts["validation"]["step"]}',
        'simulated share': _simulated(facts),
        'imagery': '; '.join(facts['imagery']),
        'attribution': '; '.join(facts['attributions']) or 'the data set names none',
        'command': f'`{facts["command"]}`', 'made by': facts['trainer']}
    return rows


def _simulated(facts: dict[str, Any]) -> str:
    if not facts['training_seeds']:
        return '0 %'
    first, last = facts['training_seeds']
    return f'{facts["simulated_share"]:.0%} (cities {first}-{last})'


def _table(rows: dict[str, str]) -> str:
    lines = ['| | |', '|---|---|', *(f'| {name} | {value} |' for name, value in rows.items())]
    return '\n'.join(lines) + '\n'


def _accuracy(facts: dict[str, Any]) -> str:
    """Return a table of single images, solved with RANSAC, at places that were not trained on."""
    before, after = facts['validation_before'], facts['validation']
    rows = [f'| {title} | {_number(before.get(name))} | {_number(after.get(name))} |'
            for name, title in ACCURACY.items()]
    return '\n'.join([
        '## Accuracy at places that were not trained on', '',
        f'Single images ({facts["validation_frames"]}), the prior wrong by up to 12 m on each '
        'axis and 10 degrees, all counted.  The best of several validations is kept, so `fg2 '
        'evaluate drives` with other drives says what to expect.', '',
        '| | before | after |', '|---|---|---|', *rows]) + '\n'


def _drives(facts: dict[str, Any]) -> str:
    rows = [f'| {name} | {", ".join(f"{count} {split}" for split, count in counts.items())} |'
            for name, counts in facts['drives'].items()]
    return '\n'.join(['## Drives', '', '| drive | keyframes |', '|---|---|', *rows]) + '\n'


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.3g}'


LIMITS = """## Limits

Weights that were trained on recordings keep something of them: the terms of the imagery and of
the recordings may limit what they are used for.  How far a tracker may believe them is not known
before `fg2 calibrate` has put it into them: until then it believes little.
"""
