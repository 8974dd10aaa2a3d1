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

"""The evaluation in simulated cities: its priors, its bookkeeping, its command."""

from dataclasses import dataclass
import json

from fg2_ros.bench import tracking
from fg2_ros.commands import main
from fg2_ros.evaluation import simulated
from fg2_ros.evaluation.current_imagery import CurrentImagery
from fg2_ros.evaluation.simulated import CityShots, Shot, SimulatedSettings
from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.weights import save_weights
import numpy as np
import pytest
import torch

SETTINGS = SimulatedSettings(
    (2000, 2001), frames=3, panorama_hw=(64, 128), workers=1, with_baseline=False)


@dataclass
class FakeEstimate:
    """The part of an estimate that is evaluated."""

    east_m: float
    north_m: float
    yaw_rad: float
    accepted: bool
    covariance: np.ndarray
    timings_ms: dict


class FakeLocalizer:
    """Answers with the truth of a list, moved by a known error."""

    map_frame = None

    def __init__(self, truths: list[Pose2], errors: list[Pose2]):
        self.answers = [Pose2(*np.add(truth, error)) for truth, error in zip(truths, errors)]
        self.priors_m: list[tuple[float, float]] = []

    def estimate(self, panorama, prior) -> FakeEstimate:
        """Return the next answer; only those less than a metre off are accepted."""
        self.priors_m.append(
            self.map_frame.map_from_geodetic(prior.latitude_deg, prior.longitude_deg))
        answer = self.answers[len(self.priors_m) - 1]
        return FakeEstimate(
            *answer, len(self.priors_m) != 2, np.eye(3), {'total': 10.0 * len(self.priors_m)})


def test_figures_are_those_of_known_errors():
    truths = [Pose2(5.0, -3.0, 3.1), Pose2(0.0, 8.0, -1.0), Pose2(-7.0, 2.0, 0.2)]
    errors = [Pose2(0.3, 0.4, 0.1), Pose2(0.0, 6.0, -0.2), Pose2(0.6, -0.8, 0.0)]
    rng = np.random.default_rng(0)
    shots = [Shot(np.zeros((4, 8, 3), np.uint8), truth,
                  simulated.wrong_prior(truth, SETTINGS, rng), error_m)
             for truth, error_m in zip(truths, (4.0, 8.0, 6.0))]
    city = CityShots(7, _orthophoto(), shots)
    localizer = FakeLocalizer(truths, errors)
    found = simulated.simulated_metrics(
        simulated.localize_cities([city], localizer, CurrentImagery(), SETTINGS))
    assert np.allclose(localizer.priors_m, [shot.prior[:2] for shot in shots], atol=1e-6)
    expected = {
        'frames': 3, 'accepted_frames': 2, 'accepted': 2 / 3, 'baseline_median_error_m': 6.0,
        'median_error_m': 1.0, 'mean_error_m': 2.5, 'over_5m': 1 / 3, 'latency_p50_ms': 20.0,
        'median_yaw_error_deg': np.degrees(0.1), 'accepted_median_error_m': 0.75,
        'accepted_over_5m': 0.0, 'baseline_over_5m': 2 / 3, 'baseline_mean_error_m': 6.0}
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_priors_fill_their_square_and_their_sigma_is_that_of_it():
    settings, truth = SimulatedSettings(), Pose2(10.0, 20.0, 3.0)
    rng = np.random.default_rng(0)
    priors = [simulated.wrong_prior(truth, settings, rng) for _ in range(3000)]
    offsets = np.array([[p.x - 10, p.y - 20] for p in priors])
    yaw_errors = np.array([wrap_angle(p.yaw - 3.0) for p in priors])
    assert 11.9 < np.abs(offsets).max() <= 12.0
    assert np.degrees(np.abs(yaw_errors)).max() <= 10.0
    assert offsets.std() == pytest.approx(settings.prior_sigma_m, rel=0.03)
    assert yaw_errors.std() == pytest.approx(settings.yaw_sigma_rad, rel=0.03)


@pytest.mark.parametrize('frames, expected', [
    (3, {5: 1, 6: 1, 7: 1}), (7, {5: 2, 6: 2, 7: 3}), (2, {6: 1, 7: 1})])
def test_frames_are_spread_evenly(frames, expected):
    assert SimulatedSettings((5, 7), frames).frames_of_cities() == expected


def test_shots_are_repeatable_and_the_first_do_not_depend_on_their_number():
    few, more = (simulated.shoot(1_000_000, count, SETTINGS).shots for count in (1, 2))
    assert np.array_equal(few[0].panorama, more[0].panorama)
    assert few[0].truth == more[0].truth and few[0].prior == more[0].prior


def test_baseline_solves_a_view_of_the_orthophoto_itself():
    """The chain of frames and patches around the baseline is right if a painted world works."""
    rng = np.random.default_rng(1)
    truth = Pose2(6.0, -4.0, 0.7)
    prior = Pose2(1.5, 3.0, 0.8)
    orthophoto = _orthophoto(rng)
    imagery = simulated.RasterImagery(
        orthophoto.image, simulated.city_frame(3), orthophoto.centre_m, orthophoto.resolution_m)
    error_m = simulated.baseline_error_m(
        _flat_panorama(orthophoto, truth, 2.0), 2.0, truth, prior, imagery=imagery, seed=3)
    assert error_m < 0.4


def test_command_writes_all_figures(tmp_path, capsys):
    config = FG2Config.preset('sim')
    torch.manual_seed(0)
    save_weights(FG2Network(config), tmp_path / 'weights.safetensors', {})
    assert main([
        'evaluate', 'sim', '--city-seeds', '2000', '--frames', '2', '--workers', '1',
        '--weights', str(tmp_path / 'weights.safetensors'),
        '--json', str(tmp_path / 'out' / 'figures.json')]) == 0
    figures = json.loads((tmp_path / 'out' / 'figures.json').read_text())
    assert figures['frames'] == 2 and figures['baseline_median_error_m'] > 0
    assert {'median_error_m', 'mean_error_m', 'p95_error_m', 'over_5m', 'median_yaw_error_deg',
            'p95_yaw_error_deg', 'anees', 'latency_p50_ms', 'accepted'} <= set(figures)
    assert 'median_error_m' in capsys.readouterr().out


def test_bench_times_every_stage(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, 'FRAMES', 3)
    monkeypatch.setattr(tracking, 'AT_START', 1)
    monkeypatch.setattr(tracking, 'SEARCH_SIGMA_M', 15.0)
    save_weights(FG2Network(FG2Config.preset('sim')), tmp_path / 'weights.safetensors', {})
    assert main([
        'bench', '--runs', '2', '--warm-up', '1', '--width', '256',
        '--weights', str(tmp_path / 'weights.safetensors'),
        '--json', str(tmp_path / 'bench.json')]) == 0
    figures = json.loads((tmp_path / 'bench.json').read_text())
    stages = figures['stages']
    parts = set(stages) - {'total', 'total_same_patch'}
    assert parts == {
        'patch', 'conversion', 'aerial_backbone', 'aerial_head', 'ground_backbone', 'ground_head',
        'matching', 'solve'}
    assert all(stages[name]['median_ms'] > 0 for name in parts)
    assert set(figures['drive_ms']) == {'network', 'posterior', 'belief'}
    assert min(figures['drive_ms'].values()) > 0
    search, posterior = figures['search'], figures['posterior']
    assert search['grids'] > 4 and search['search_ms'] > 0
    assert search['kernels'] > search['grids'] * posterior['kernels'] / 4


@pytest.mark.parametrize('seeds', ['7-3', 'x', '0-1000001', '-1'])
def test_wrong_seeds_are_refused(seeds, capsys):
    with pytest.raises(SystemExit):
        main(['evaluate', 'sim', f'--city-seeds={seeds}'])
    assert seeds in capsys.readouterr().err


def test_missing_weights_are_named(tmp_path, capsys):
    missing = str(tmp_path / 'none.safetensors')
    assert main(['evaluate', 'sim', '--weights', missing]) == 1
    assert missing in capsys.readouterr().err


@dataclass
class _Orthophoto:
    image: np.ndarray
    resolution_m: float = 0.2
    centre_m: tuple[float, float] = (0.0, 0.0)


def _orthophoto(rng=None) -> _Orthophoto:
    import cv2
    if rng is None:
        return _Orthophoto(np.zeros((400, 400, 3), np.uint8))
    noise = sum(
        cv2.GaussianBlur(rng.standard_normal((600, 600)), (0, 0), sigma) * sigma
        for sigma in (2, 4, 8, 16))
    return _Orthophoto(np.repeat(np.clip(128 + 60 * noise, 0, 255).astype(np.uint8)[..., None],
                                 3, axis=2))


def _flat_panorama(orthophoto: _Orthophoto, pose: Pose2, height_m: float) -> np.ndarray:
    import cv2
    from fg2_ros.geometry.panorama import pixel_directions
    direction = pixel_directions(1024, 512)
    reach = height_m / np.maximum(-direction[..., 2], 1e-3)
    c, s = np.cos(pose.yaw), np.sin(pose.yaw)
    east = pose.x + reach * (c * direction[..., 0] - s * direction[..., 1])
    north = pose.y + reach * (s * direction[..., 0] + c * direction[..., 1])
    middle = orthophoto.image.shape[0] / 2 - 0.5
    return cv2.remap(
        orthophoto.image, (middle + east / 0.2).astype(np.float32),
        (middle - north / 0.2).astype(np.float32), cv2.INTER_LINEAR)
