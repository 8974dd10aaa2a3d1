"""The comparisons of `fg2 bench --full`, on small networks."""

from dataclasses import replace
import json
import re

from fg2_ros.bench import comparison, full_size, run as bench
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
    with pytest.raises(ValueError, match="could not be run.*no preset 'none'"):
        full_size.measure_in_own_process('none', 'cpu', 'fp32', 1)


def test_bench_prints_and_writes_what_it_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, 'imagery_timings', lambda: {'warm patch': 1.0})
    path = tmp_path / 'figures.json'
    arguments = ['--runs', '1', '--warm-up', '0', '--width', '64', '--device', 'cpu']
    assert main(['bench', *arguments, '--json', str(path)]) == 0
    figures = json.loads(path.read_text())
    assert figures['stages']['total']['median_ms'] > figures['stages']['solve']['median_ms'] > 0
    assert figures['stages']['total']['share_of_total'] == 1
    assert figures['frames_a_second']['same_patch'] > 0
    assert figures['imagery_ms'] == {'warm patch': 1.0}
    assert 'frames a second' in capsys.readouterr().out


def test_bench_with_full_adds_the_comparisons(monkeypatch):
    frame = {
        'stages_ms': {'ground_head': 345.6, 'total': 2000.0}, 'peak_bytes': 4.2e9,
        'transformer_gflops': 90.0, 'matmul_gflops': 100.0, 'transformer_share_of_matmul': 0.9}
    monkeypatch.setattr(full_size, 'measure_in_own_process', lambda *_: frame)
    found = Comparison(10.0, 1000.0, 0.001)
    for name in ('head', 'attention', 'ransac'):
        monkeypatch.setattr(comparison, f'compare_{name}', lambda *_: found)
    told = []
    figures = bench.compare_full_size(CPU, 'fp32', told.append)
    assert figures['comparisons']['head']['ratio'] == 100
    assert set(figures['comparisons']) == {'head', 'attention', 'ransac'}
    assert figures['full_size'] == frame
    said = '\n'.join(told)
    assert re.search(r'ground_head +345\.6 ms', said)
    assert '100.0 times as fast' in said and '4.20 GB' in said and '90%' in said
