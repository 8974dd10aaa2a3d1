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

"""The configuration and its presets."""

import json

from fg2_ros.network.config import FG2Config, PRESETS
import pytest


@pytest.mark.parametrize('name', PRESETS)
def test_survives_json(name):
    config = FG2Config.preset(name)
    assert config.name == name
    assert FG2Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize('name', PRESETS)
def test_every_iteration_has_a_feedforward(name):
    config = FG2Config.preset(name)
    assert len(config.ffn_of_iteration) == config.iterations
    assert config.channels % config.attention_heads == 0


def test_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'sym': choose from vigor, kitti, sim"):
        FG2Config.preset('sym')


def test_unknown_and_missing_fields_are_named():
    values = FG2Config().to_dict()
    values['colour'] = values.pop('channels')
    with pytest.raises(ValueError, match='channels.*colour'):
        FG2Config.from_dict(values)


def test_a_field_younger_than_a_file_has_the_value_it_was_trained_with():
    values = FG2Config.preset('sim').to_dict()
    del values['image_resize']
    assert FG2Config.from_dict(values) == FG2Config.preset('sim')


def test_published_networks_see_images_resized_as_published():
    assert FG2Config.preset('vigor').image_resize == 'bilinear'
    assert FG2Config.preset('kitti').image_resize == 'bilinear'


def test_metric_properties():
    config = FG2Config.preset('vigor')
    assert config.cell_m == pytest.approx(71 / 40)
    assert config.aerial_resolution_m == pytest.approx(71 / 630)
    assert config.ground_rows == 41
    assert FG2Config.preset('kitti').ground_rows == 21
