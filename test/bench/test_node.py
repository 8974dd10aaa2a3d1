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

"""What the node adds is measured over DDS, in a process of its own."""

import json
import sys
from test.helpers.processes import run_to_its_end

MEASURE = """
import json
import fg2_ros.bench.node as bench
bench.LARGE_WIDTH, bench.LARGE_IMAGES, bench.SETTLED = 256, 6, 4
print(json.dumps(bench.measure_node(8)))
"""


def test_node_is_measured():
    """Images arrive, poses come of them, and there are figures."""
    found = json.loads(run_to_its_end(
        [sys.executable, '-c', MEASURE], check=True).stdout.splitlines()[-1])
    assert 0 < found['poses'] <= found['images'] <= 6
    assert 0 < found['small_poses'] <= found['small_images'] <= 8
    assert 0 < found['callback_p95_ms'] <= found['callback_max_ms']
    assert found['overhead_ms'] > 0 and found['executor_ms'] > 0
    assert found['settled_mb'] > 10 and abs(found['growth_mb']) < 100
