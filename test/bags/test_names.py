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

"""What comes of several bags lies in folders of different names."""

from pathlib import Path

from fg2_ros.bags.names import bag_names
import pytest


def test_bags_are_called_as_their_files_and_folders():
    bags = ['a/one.mcap', 'b/two', 'three.bag', 'four.db3.zstd', 'v1.2', 'five.bag.active']
    assert bag_names(list(map(Path, bags))) == ['one', 'two', 'three', 'four', 'v1.2', 'five']


def test_two_of_one_name_are_refused():
    with pytest.raises(ValueError, match='several bags have the name one'):
        bag_names([Path('a/one.mcap'), Path('b/one.mcap')])
