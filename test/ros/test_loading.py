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
    """Intrinsics, and whether it can do without a heading."""
    panorama, pinhole = str(folder / 'panorama'), str(folder / 'pinhole')
    for settings, expected in (
            ({'weights': panorama}, (False, False)),
            ({'weights': pinhole}, (True, False)),
            ({'weights': panorama, 'orientation_weights': panorama}, (False, True))):
        found = loaded(**settings)
        assert (found.needs_intrinsics, found.finds_headings) == expected
    with pytest.raises(ValueError, match='headings are found in panoramas only'):
        loaded(weights=panorama, orientation_weights=pinhole)


def test_networks_are_compiled_if_asked(folder, monkeypatch):
    """Off by default."""
    compiled = []
    monkeypatch.setattr(localizer, 'compile_for_inference', compiled.append)
    for settings in ({}, {'compile': True}):
        loaded(weights=str(folder / 'panorama'), **settings)
        assert len(compiled) == len(settings)


def test_missing_files_are_named_with_their_parameter(folder):
    """Either of them."""
    for settings in ({'weights': '/nowhere/w'},
                     {'weights': str(folder / 'panorama'), 'orientation_weights': '/nowhere/w'}):
        with pytest.raises(ValueError, match=f'/nowhere/w does not .*{list(settings)[-1]}'):
            loaded(**settings)


@pytest.mark.parametrize('metadata, said', [
    ({'trained_on': 'simulation'}, 'simulation only'), ({'trained_on': 'VIGOR'}, 'VIGOR'),
    ({}, 'they do not say')])
def test_what_weights_say_they_were_trained_on(metadata, said):
    """For the diagnostics."""
    assert trained_on(metadata) == said
