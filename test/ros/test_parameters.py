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

"""Parameters of the node from files, and back: what `ros2 param dump` writes can be given again."""

from pathlib import Path
from test.helpers.paths import ROOT

from fg2_ros.ros.node import FG2Node
import yaml


def parameters_from(file: Path) -> dict[str, object]:
    """Return the parameters of a node that was given a file, as a dump has them."""
    node = FG2Node(cli_args=['--ros-args', '--params-file', str(file)])
    try:
        found = node.get_parameters_by_prefix('')
        return {name: list(value) if hasattr(value := parameter.value, 'tolist') else value
                for name, parameter in found.items()}
    finally:
        node.destroy_node()


def test_dump_of_the_parameters_gives_the_same_parameters(ros, tmp_path):
    """Lists that are empty, too, which rcl reads as nothing."""
    changed = tmp_path / 'changed.yaml'
    changed.write_text(yaml.safe_dump({'/**': {'ros__parameters': {
        'datum': [47.5, 8.7, 0.0], 'camera_axes': 'optical', 'imagery': {'sources': []}}}}))
    for file in (ROOT / 'config' / 'fg2.yaml', changed):
        first = parameters_from(file)
        assert None not in first.values() and first['imagery.sources'] == []
        dump = tmp_path / 'dump.yaml'
        dump.write_text(yaml.safe_dump({'/fg2': {'ros__parameters': first}}))
        assert parameters_from(dump) == first
    assert first['datum'] == [47.5, 8.7, 0.0] and first['camera_axes'] == 'optical'
