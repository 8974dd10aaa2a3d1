"""
Train a network: in simulated cities, or a published one on VIGOR or KITTI.

On several GPUs, or hosts: torchrun --no-python --nproc-per-node 4 fg2 train vigor ...
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
import shlex
import sys

from fg2_ros.commands.options import seed_range
from fg2_ros.settings import read_yaml
from fg2_ros.training.vigor_kitti import run_config
from fg2_ros.training.vigor_kitti.ini_import import read_ini

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of each data set."""
    data_sets = parser.add_subparsers(dest='data_set', metavar='DATA_SET', required=True)
    simulated = data_sets.add_parser('sim', help='simulated cities, which are rendered first')
    add_simulation_options(simulated)
    simulated.set_defaults(train=train_simulated)
    for name, summary in (
            ('vigor', 'panoramas and satellite images of four cities'),
            ('kitti', 'a camera that looks ahead')):
        published = data_sets.add_parser(name, help=summary)
        run_config.add_options(published, name)
        add_resume(published)
        published.set_defaults(train=train_published)


def run(args: argparse.Namespace) -> int:
    """Train what was asked for."""
    args.train(args)
    return 0


def add_simulation_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of training in simulated cities."""
    parser.add_argument('--out', type=Path, required=True, help='folder of the run')
    parser.add_argument('--steps', type=int, default=4000, help='optimiser steps (%(default)s)')
    parser.add_argument('--batch', type=int, default=8, help='samples a step (%(default)s)')
    parser.add_argument('--rate', type=float, default=1e-3, help='peak learning rate')
    parser.add_argument(
        '--pose-weight', type=float, default=2.0,
        help='of the pose loss beside that of the matches (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of initial weights and samples')
    parser.add_argument(
        '--cities', type=seed_range, default=(0, 299), metavar='A-B',
        help='seeds of the training cities (0-299); difficulties alternate')
    parser.add_argument(
        '--validation-cities', type=seed_range, default=(1000, 1007), metavar='A-B',
        help='seeds of the validation cities (1000-1007)')
    parser.add_argument('--frames-per-city', type=int, default=24, help='(%(default)s)')
    parser.add_argument(
        '--validation-frames', type=int, default=96, help='in all (%(default)s)')
    parser.add_argument('--validate-every', type=int, default=500, help='steps (%(default)s)')
    parser.add_argument('--workers', type=int, default=2, help='rendering processes')
    parser.add_argument('--threads', type=int, default=2, help='of the training itself')
    parser.add_argument('--cache', type=Path, help='folder of rendered frames (OUT/frames)')
    parser.add_argument('--render-only', action='store_true', help='fill the cache and stop')
    parser.add_argument(
        '--start-from', type=Path, metavar='WEIGHTS', help='file whose weights a run starts with')
    add_resume(parser)


def add_resume(parser: argparse.ArgumentParser) -> None:
    """Declare the option of going on."""
    parser.add_argument(
        '--resume', action='store_true', help='go on after the last checkpoint, if there is one')


def train_published(args: argparse.Namespace) -> None:
    """Train as published; the weights end up in ``OUT/fg2_vigor.safetensors`` or ``kitti``."""
    values = {}
    if args.import_ini:
        imported = read_ini(args.import_ini, args.data_set)
        values |= imported.values
        log.info('%s: taken are %s', args.import_ini, imported.values)
        for ignored in imported.ignored:
            log.warning('%s: ignored: %s', args.import_ini, ignored)
    if args.config:
        values |= read_yaml(args.config)
    values |= run_config.given(args, args.data_set)
    config = run_config.RunConfig.of(args.data_set, values)

    from fg2_ros.training.vigor_kitti.run import train
    train(config, args.resume)


def train_simulated(args: argparse.Namespace) -> None:
    """Render what is missing, then train; the weights end up in ``OUT/fg2_sim.safetensors``."""
    from tqdm import tqdm
    from fg2_ros.network.weights import load_network, read_metadata, save_weights
    from fg2_ros.published.convert import origin_of
    from fg2_ros.network.config import FG2Config
    from fg2_ros.training.simulated.calibration import calibrated_scale
    from fg2_ros.datasets.simulated import cities, render_missing, RenderSettings
    from fg2_ros.training.simulated.samples import FrameDataset, SampleSettings
    from fg2_ros.training.simulated.trainer import SimulatedTrainer, TrainSettings

    config = FG2Config.preset(args.data_set)
    cache = args.cache or args.out / 'frames'
    rendering = RenderSettings(args.frames_per_city, config.ground_image_hw)
    training, validation = cities(*args.cities), cities(*args.validation_cities)
    render_missing(
        training + validation, cache, rendering, args.workers,
        lambda done, total: tqdm(done, 'rendering cities', total, dynamic_ncols=True))
    if args.render_only:
        return

    samples = FrameDataset(
        training, args.frames_per_city, cache, config, SampleSettings(), args.seed)
    settings = TrainSettings(
        steps=args.steps, batch=args.batch, seed=args.seed, peak_rate=args.rate,
        threads=args.threads, validate_every=args.validate_every,
        pose_weight=args.pose_weight,
        local_weight=0.0 if args.start_from else TrainSettings.local_weight)
    unseen = FrameDataset(
        validation, args.frames_per_city, cache, config, SampleSettings.validation(), 0)
    start = load_network(args.start_from) if args.start_from else None
    trainer = SimulatedTrainer(
        config, settings, samples, unseen.first(args.validation_frames), args.out, args.resume,
        start, {'cities': args.cities, 'frames_per_city': args.frames_per_city,
                'start': origin_of(args.start_from) if start else None})
    with tqdm(total=args.steps, initial=trainer.step, desc='training', dynamic_ncols=True) as bar:
        accuracy = trainer.run(lambda record: _show(bar, record))
    scale = calibrated_scale(trainer.average, unseen.first(args.validation_frames), args.batch)
    save_weights(trainer.average, args.out / 'fg2_sim.safetensors', {
        'trained_on': 'simulation', 'command': shlex.join(['fg2', *sys.argv[1:]]),
        'training_seeds': list(args.cities), 'validation_seeds': list(args.validation_cities),
        'frames_per_city': args.frames_per_city, 'steps': args.steps, 'batch': args.batch,
        'seed': args.seed, 'validation': accuracy, 'covariance_scale': round(scale, 1),
        'started_from': read_metadata(args.start_from).get('command') if start else None})


def _show(bar, record: dict) -> None:
    bar.update()
    shown = ('info_nce', 'local', 'layers', 'pose')
    bar.set_postfix({key: f'{record[key]:.3g}' for key in shown}, refresh=False)
    if 'validation_loss' in record:
        figures = ', '.join(
            f'{key.removeprefix("validation_")} {value:.3g}'
            for key, value in record.items() if key.startswith('validation_'))
        bar.write(f'step {record["step"]}: {figures}')
