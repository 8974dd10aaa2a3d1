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

"""Images of cameras that belong together, each once."""

from test.helpers.vehicle import at, image

from fg2_ros.ros.image_sets import ImageSets


def stamps(images):
    """Return the seconds of a set's stamps."""
    return images and [
        each and each.header.stamp.sec - at(0).sec + round(each.header.stamp.nanosec / 1e9, 2)
        for each in images.images]


def test_what_came_by_one_transport_is_not_taken_by_the_other():
    sets = ImageSets(1, 0.02)
    assert stamps(sets.add(0, 'raw', image(at(1.0)))) == [1.0]
    assert sets.add(0, 'compressed', image(at(1.0))) is None
    assert stamps(sets.add(0, 'compressed', image(at(2.0)))) == [2.0]
    assert sets.add(0, 'raw', image(at(2.0))) is None


def test_a_lone_camera_may_send_a_stamp_twice():
    """As a simulation does whose clock stands still."""
    sets = ImageSets(1, 0.02)
    assert stamps(sets.add(0, 'raw', image(at(1.0)))) == [1.0]
    assert stamps(sets.add(0, 'raw', image(at(1.0)))) == [1.0]


def test_a_set_is_complete_with_its_last_image():
    sets = ImageSets(3, 0.02)
    assert sets.add(1, 'raw', image(at(1.0))) is None
    assert sets.add(0, 'raw', image(at(1.01))) is None
    assert sets.add(0, 'compressed', image(at(1.01))) is None
    assert stamps(sets.add(2, 'raw', image(at(1.01)))) == [1.01, 1.0, 1.01]


def test_sets_of_two_times_do_not_mix():
    sets = ImageSets(2, 0.02)
    assert sets.add(0, 'raw', image(at(1.0))) is None
    assert sets.add(0, 'raw', image(at(1.1))) is None
    assert stamps(sets.add(1, 'raw', image(at(1.1)))) == [1.1, 1.1]
    assert sets.add(1, 'raw', image(at(1.0))) is None
    assert sets.add(0, 'raw', image(at(1.2))) is None


def test_a_camera_that_is_silent_is_not_waited_for_for_long():
    sets = ImageSets(2, 0.02)
    found = [stamps(sets.add(0, 'raw', image(at(eighth / 8)))) for eighth in range(8, 14)]
    assert found == [None] * 3 + [[1.0, None], [1.13, None], [1.25, None]]


def test_a_recording_that_starts_again_is_followed():
    sets = ImageSets(2, 0.02)
    for second in (5.0, 1.0):
        assert sets.add(0, 'raw', image(at(second))) is None
        assert stamps(sets.add(1, 'raw', image(at(second)))) == [second, second]
