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

"""The comparisons of `fg2 bench --full`, on small networks."""

from dataclasses import replace
import json
import re

from fg2_ros.bench import comparison, full_size, run as bench, tracking
from fg2_ros.bench.comparison import compare, Comparison
from fg2_ros.commands import main
from fg2_ros.network import FG2Config
from fg2_ros.network.dinov2 import DinoV2
from fg2_ros.solver.ransac import RansacSettings
import pytest
import torch
from torch.nn.attention import sdpa_kernel, SDPBackend
from torch.utils.flop_counter import FlopCounterMode

CPU = torch.device('cpu')
NARROW = {
    'channels': 64, 'grid_cells': 9, 'height_count': 5, 'feedforward_channels': 64,
    'descriptor_widths': (64, 64, 64)}
SMALL = replace(
    FG2Config.preset('vigor'), backbone='dinov2_vits14', **NARROW | {'channels': 384},
    iterations=1, ffn_of_iteration=(1,), ground_image_hw=(28, 56), aerial_image_hw=(28, 28))
COMPARED = replace(SMALL, grid_cells=21)  # as many pairs as the published RANSAC draws


@pytest.mark.parametrize('preset', ['vigor', 'kitti'])
def test_heads_that_are_compared_have_the_same_scores(preset):
    config = replace(FG2Config.preset(preset), **NARROW)
    found = comparison.compare_head(config, CPU, torch.float32, runs=1)
    assert found.difference < 1e-4
    assert found.ratio == found.naive_ms / found.fast_ms > 0


def test_attentions_that_are_compared_have_the_same_tokens():
    found = comparison.compare_attention(SMALL, CPU, torch.float32, runs=1)
    assert found.difference < 1e-5 and found.ratio > 0
    assert comparison.token_count(FG2Config.preset('vigor').ground_image_hw) == 5203


def test_scores_that_are_no_numbers_are_no_agreement():
    """Unlike those of cells that neither way sees."""
    scores = torch.tensor([1.0, -torch.inf])
    assert comparison.score_difference(scores, scores + 0.5) == 0.5
    for wrong in (torch.nan, -torch.inf):
        found = comparison.score_difference(torch.tensor([wrong, -torch.inf]), scores)
        assert not found <= 1e9


def test_robust_poses_that_are_compared_agree():
    settings = RansacSettings(draws=2, samples=512, hypotheses=30, finalists=1)
    found = comparison.compare_ransac(
        replace(FG2Config.preset('vigor'), grid_cells=21), CPU, 0.3, settings, runs=1)
    assert found.difference < 2.0


def test_the_best_times_count(monkeypatch):
    times = iter([0.0, 3.0, 0.0, 2.0, 0.0, 30.0, 0.0, 4.0, 0.0, 5.0, 0.0, 20.0])
    monkeypatch.setattr(comparison, 'now_s', lambda device: next(times))
    found = compare(
        lambda: torch.tensor(1.0), lambda: torch.tensor(3.5), lambda a, b: b - a, CPU, 2)
    assert found == Comparison(2000.0, 20000.0, 2.5)
    assert found.ratio == 10


def test_flops_of_the_transformer_are_those_counted():
    network, hw = DinoV2('dinov2_vits14'), (28, 56)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network(torch.rand(1, 3, *hw))
    embedding = 2 * 2 * 4 * network.patch_embed.proj.weight.numel()
    assert counter.get_total_flops() - embedding == full_size.transformer_flops(network, hw)


def test_a_frame_is_measured_without_the_products_beside_it():
    figures = full_size.measure_frame(SMALL, CPU, torch.float32)
    assert set(figures['stages_ms']) >= {'ground_backbone', 'aerial_backbone', 'solve', 'total'}
    assert figures['matmul_gflops'] > 0 and figures['transformer_share_of_matmul'] > 0
    assert 5e7 < figures['peak_bytes'] < 1e11


def test_a_process_that_fails_is_told():
    with pytest.raises(ValueError, match='could not be run: .*device.*nowhere'):
        full_size.measure_in_own_process(SMALL, 'nowhere', 'fp32', 1)


def test_kernels_are_counted_but_not_views():
    values = torch.arange(12.0)
    with tracking.KernelCounter() as counter:
        (values.view(3, 4)[1:].T + 1).sum()
    assert counter.kernels == 2


def test_a_posterior_takes_as_many_kernels_whatever_the_grid():
    small, large = (tracking.measure_posterior(config, CPU, runs=1) for config in (
        COMPARED, replace(COMPARED, grid_cells=31)))
    assert small['kernels'] == large['kernels'] < 400
    assert small['gpu_ms'] == small['kernels'] * tracking.LAUNCH_MS


def test_bench_prints_and_writes_what_it_measured(tmp_path, capsys, monkeypatch):
    """The comparisons at full size take too long; they are tested below."""
    monkeypatch.setattr(bench, 'imagery_timings', lambda: {'warm patch': 1.0})
    monkeypatch.setattr(bench, 'measure_tracking', lambda *inputs: {'belief': 5.0})
    searched = {'grids': 81, 'search_ms': 900.0, 'kernels': 8000, 'gpu_ms': 40.0}
    monkeypatch.setattr(bench, 'measure_search', lambda *inputs: searched)
    monkeypatch.setattr(
        bench, 'compare_full_size',
        lambda config, device, precision, tell: {'compared': config.to_dict(), 'as': precision})
    path = tmp_path / 'figures.json'
    arguments = ['--full', '--runs', '1', '--warm-up', '0', '--width', '64', '--device', 'cpu']
    assert main(['bench', *arguments, '--precision', 'fp32', '--json', str(path)]) == 0
    figures = json.loads(path.read_text())
    assert figures['stages']['total']['median_ms'] > figures['stages']['solve']['median_ms'] > 0
    assert figures['stages']['total']['share_of_total'] == 1
    assert figures['frames_a_second']['same_patch'] > 0
    assert figures['imagery_ms'] == {'warm patch': 1.0} and figures['drive_ms'] == {'belief': 5.0}
    assert figures['search'] == searched
    assert figures['posterior']['posterior_ms'] > 0
    assert FG2Config.from_dict(figures['compared']) == FG2Config.preset('vigor')
    assert figures['as'] == 'fp32'
    assert 'frames a second' in capsys.readouterr().out


@pytest.fixture(scope='module')
def compared():
    """Return figures and words of the comparisons with a small network, all really measured."""
    told = []
    return bench.compare_full_size(COMPARED, CPU, 'fp32', told.append), '\n'.join(told)


def test_the_comparisons_find_the_same_results_faster_or_slower(compared):
    found = compared[0]['comparisons']
    assert set(found) == {'head', 'attention', 'ransac'}
    for figures in found.values():
        assert figures['ratio'] == figures['naive_ms'] / figures['fast_ms'] > 0
    assert found['head']['difference'] < 1e-4 and found['attention']['difference'] < 1e-5
    assert found['ransac']['difference'] < COMPARED.cell_m


def test_a_frame_of_the_same_network_is_measured_beside_the_comparisons(compared):
    frame = compared[0]['full_size']
    stages = frame['stages_ms']
    assert stages['total'] > stages['ground_backbone'] > 0
    assert frame['transformer_share_of_matmul'] == pytest.approx(
        frame['transformer_gflops'] / frame['matmul_gflops'])
    assert 5e7 < frame['peak_bytes'] < 1e11
    assert frame['posterior_share_of_ground_branch'] > 0
    json.dumps(compared[0])


def test_what_is_measured_is_told(compared):
    figures, said = compared
    head, frame = figures['comparisons']['head'], figures['full_size']
    assert f'{head["naive_ms"]:.1f} ms: {head["ratio"]:.1f} times as fast' in said
    assert re.search(rf'full-size ground_head +{frame["stages_ms"]["ground_head"]:.1f} ms', said)
    assert f'{frame["peak_bytes"] / 1e9:.2f} GB at most' in said
    assert f'{frame["transformer_share_of_matmul"]:.0%} of a matrix product' in said
