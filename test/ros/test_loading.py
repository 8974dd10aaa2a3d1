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

"""The localizer that the node's parameters ask for; the weights decide what camera it is for."""

from dataclasses import replace

from fg2_ros.localizer import localizer
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.weights import save_weights
from fg2_ros.ros.loading import load_localizer, trained_on
from fg2_ros.ros.node_settings import ImagerySettings, NodeSettings
import pytest

CONFIG = replace(FG2Config.preset('sim'), grid_cells=9, height_count=3)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return a folder with weights for each kind of camera."""
    folder = tmp_path_factory.mktemp('weights')
    for camera in ('panorama', 'pinhole'):
        save_weights(FG2Network(replace(CONFIG, camera=camera)), folder / camera, {})
    return folder


def loaded(**settings):
    """Return what is loaded for some parameters; nothing of it is used."""
    found = load_localizer(NodeSettings(
        device='cpu', imagery=ImagerySettings(url='http://127.0.0.1:1/{z}/{x}/{y}.png',
                                              cache_path=''), **settings))
    found.close()
    return found


def test_the_weights_say_what_the_node_needs(folder):
    """Intrinsics, if they are for a pinhole camera."""
    for camera, expected in (('panorama', False), ('pinhole', True)):
        assert loaded(weights=str(folder / camera)).needs_intrinsics is expected


def test_networks_are_compiled_if_asked(folder, monkeypatch):
    """Off by default."""
    compiled = []
    monkeypatch.setattr(localizer, 'compile_for_inference', compiled.append)
    for settings in ({}, {'compile': True}):
        loaded(weights=str(folder / 'panorama'), **settings)
        assert len(compiled) == len(settings)


def test_a_missing_file_is_named_with_its_parameter():
    with pytest.raises(ValueError, match='/nowhere/w does not .*weights'):
        loaded(weights='/nowhere/w')


@pytest.mark.parametrize('metadata, said', [
    ({'trained_on': 'simulation'}, 'simulation only'), ({'trained_on': 'VIGOR'}, 'VIGOR'),
    ({}, 'they do not say')])
def test_what_weights_say_they_were_trained_on(metadata, said):
    """For the diagnostics."""
    assert trained_on(metadata) == said
