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


@pytest.mark.parametrize('field, value', [
    ('iterations', 10 ** 7), ('iterations', 0), ('iterations', 6.0), ('iterations', True),
    ('iterations', '6'), ('iterations', None), ('iterations', 10 ** 30), ('iterations', 7),
    ('attention_heads', 0), ('attention_heads', -8), ('attention_heads', 7),
    ('attention_points', 10 ** 9), ('channels', 0), ('channels', 2 ** 63),
    ('grid_cells', 1), ('grid_cells', 100_000), ('grid_extent_m', 0.0), ('grid_extent_m', -71.0),
    ('grid_extent_m', float('nan')), ('grid_extent_m', float('inf')), ('grid_extent_m', 1e308),
    ('height_range_m', (10.0, -10.0)), ('height_range_m', (float('nan'), 1.0)),
    ('height_range_m', (1.0,)), ('height_range_m', 3.0), ('height_count', 0),
    ('ground_image_hw', (0, 0)), ('ground_image_hw', (10 ** 6, 10 ** 6)),
    ('ground_image_hw', (714.5, 1428)), ('ground_image_hw', (714, 1428, 3)),
    ('aerial_image_hw', (630, -630)), ('aerial_image_hw', 'large'), ('feedforward_channels', -1),
    ('ffn_of_iteration', ()), ('ffn_of_iteration', (1, 2)), ('ffn_of_iteration', (0,) * 6),
    ('ffn_of_iteration', (1,) * 10_000), ('descriptor_widths', (512, 0)),
    ('descriptor_widths', ((1, 2), 3)), ('descriptor_layers', 10 ** 6), ('temperature', 0.0),
    ('temperature', -1.0), ('temperature', 1e-300), ('dropout', 1.5), ('camera', 'fisheye'),
    ('camera', 3), ('aerial_sampling', ''), ('image_resize', None), ('name', 7),
    ('panorama_wrap_tokens', -1), ('panorama_wrap_tokens', 10 ** 9)])
def test_values_that_make_no_sense_are_refused_with_their_name(field, value):
    values = FG2Config().to_dict() | {
        field: list(value) if isinstance(value, tuple) else value}
    with pytest.raises(ValueError, match=field) as caught:
        FG2Config.from_dict(values)
    assert len(str(caught.value)) < 300


def test_a_value_of_400_digits_is_told_in_short():
    values = FG2Config().to_dict() | {'grid_extent_m': 10 ** 400}
    with pytest.raises(ValueError, match='grid_extent_m = 10{79} makes no sense'):
        FG2Config.from_dict(values)


def test_whole_numbers_are_fine_lengths():
    values = FG2Config().to_dict() | {'grid_extent_m': 71, 'height_range_m': [-10, 10]}
    assert FG2Config.from_dict(values) == FG2Config()
