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

"""
Prove that own drives improve weights, where only simulation can be had: another world is driven.

python3 examples/world_b.py FOLDER

World B looks unlike what the shipped weights learned: other houses and grounds, another camera
with another height and body, another aerial sensor. Drives through it are recorded as bags with
RTK whose clock is ahead; all but the last are trained on, the last one validates. Short ones
through more cities calibrate, as errors along one street are alike. Held-out drives of both worlds
say what it brought. Interrupted, the same command goes on.

It needs requirements/simulation.txt and requirements/imagery.txt, and two hours or so.
"""

import argparse
from dataclasses import dataclass
import json
from pathlib import Path

from fg2_ros import commands
from fg2_ros.evaluation.drives.rendered import DriveSpec, open_drive, RESOLUTION_M
from fg2_ros.settings import SHIPPED_WEIGHTS
from fg2_ros.simulation.bag import Rtk, write_drive
import numpy as np
import rasterio
from rasterio.transform import from_origin
from tqdm import tqdm

FIRST_RECORDED = 5000  # seeds of the cities that are driven with a recorder
FIRST_CALIBRATING = 5100
FIRST_HELD_OUT = 3000
CLOCK_AHEAD_S = 0.1
SHORT_RATE_HZ = 4.0  # of drives that calibrate
ERRORS = 'median_error_m', 'p95_error_m'
FIGURES = *ERRORS, 'anees_track', 'anees_pose'


@dataclass(frozen=True)
class Proof:
    """A folder of everything, and how large the proof is."""

    folder: Path
    drives: int
    images: int
    rate_hz: float
    steps: int
    batch: int
    validation_frames: int
    simulated_cities: int
    simulated_share: float
    threads: int
    calibrating: int
    held_out: int
    short_images: int

    def run(self) -> dict[str, dict[str, float]]:
        """Go through all steps; return figures by world and weights, see `table`."""
        weights = self._calibrate(self._train())
        return {f'{world} {name}': self._evaluate(world, name, path)
                for world in 'AB' for name, path in (
                    ('before', SHIPPED_WEIGHTS), ('after', weights))}

    def _record(self, seed: int, images: int, rate_hz: float) -> None:
        """Drive through a city of world B with a recorder, and take its aerial image."""
        bag, aerial = self._bag(seed), self._aerial(seed)
        if bag.exists():
            return
        drive = open_drive(
            DriveSpec(seed, frames=images, rate_hz=rate_hz, world='B'),
            self.folder / 'rendered')
        aerial.parent.mkdir(parents=True, exist_ok=True)
        write_geotiff(aerial, drive.orthophoto(), drive.map_frame.datum)
        panoramas = map(drive.panorama, tqdm(range(images), f'recording {bag.name}'))
        unfinished = bag.with_name(f'.{bag.name}')
        write_drive(unfinished, drive.drive, drive.map_frame, panoramas,
                    rtk=Rtk(clock_ahead_s=CLOCK_AHEAD_S, seed=seed))
        unfinished.rename(bag)

    def _build(self, data_set: str, seed: int, split: str) -> None:
        fg2('drives', 'build', '--out', self.folder / data_set, '--bag', self._bag(seed),
            '--truth', '/rtk/fix', '--truth-heading', '/rtk/heading', '--source',
            self._aerial(seed), '--split', split, '--every', 3)

    def _train(self) -> Path:
        """Return weights that have learnt from all drives but the last, which validates."""
        for index in range(self.drives):
            self._record(FIRST_RECORDED + index, self.images, self.rate_hz)
            self._build('drives', FIRST_RECORDED + index,
                        'validation' if index == self.drives - 1 else 'train')
        run = self.folder / 'run'
        weights = run / 'fg2_drives.safetensors'
        if not weights.exists():
            fg2('train', 'drives', self.folder / 'drives', '--out', run, '--start-from',
                SHIPPED_WEIGHTS, '--steps', self.steps, '--batch', self.batch, '--rate', 5e-4,
                '--validation-frames', self.validation_frames, '--validate-every',
                max(1, self.steps // 8), '--patience', 0, '--cities',
                f'0-{self.simulated_cities - 1}', '--simulated-share', self.simulated_share,
                '--threads', self.threads, '--resume')
        return weights

    def _calibrate(self, trained: Path) -> Path:
        """Return weights that know how far they may be believed."""
        for seed in range(FIRST_CALIBRATING, FIRST_CALIBRATING + self.calibrating):
            self._record(seed, self.short_images, SHORT_RATE_HZ)
            self._build('calibration', seed, 'validation')
        calibrated = self.folder / 'world_b.safetensors'
        if not calibrated.exists():
            fg2('calibrate', '--drives', self.folder / 'calibration', '--weights', trained,
                '--out', calibrated)
        return calibrated

    def _evaluate(self, world: str, name: str, weights: Path) -> dict[str, float]:
        """Follow drives through cities that neither weights have seen."""
        figures = self.folder / f'{world}_{name}.json'
        if not figures.exists():
            fg2('evaluate', 'drives', '--world', world, '--city-seeds',
                f'{FIRST_HELD_OUT}-{FIRST_HELD_OUT + self.held_out - 1}', '--frames',
                self.short_images, '--weights', weights, '--no-single-frame', '--cache',
                self.folder / 'rendered', '--json', figures)
        found = json.loads(figures.read_text())
        return {name: found[name] for name in FIGURES}

    def _bag(self, seed: int) -> Path:
        return self.folder / 'bags' / f'city-{seed}'

    def _aerial(self, seed: int) -> Path:
        return self.folder / 'bags' / f'{seed}.tif'


def fg2(*words: object) -> None:
    """Run a command of the package, which tells what is wrong; end with it then."""
    if code := commands.main([str(word) for word in words]):
        raise SystemExit(code)


def write_geotiff(path: Path, image: np.ndarray, datum_deg: tuple[float, float]) -> None:
    """Write an orthophoto, (n, n, 3) uint8, whose centre is the datum."""
    latitude_deg, longitude_deg = datum_deg
    half_m = len(image) / 2 * RESOLUTION_M
    with rasterio.open(
            path, 'w', driver='GTiff', height=len(image), width=len(image), count=3,
            dtype='uint8', crs=f'+proj=aeqd +lat_0={latitude_deg} +lon_0={longitude_deg} '
            '+datum=WGS84 +units=m', tiled=True, compress='deflate',
            transform=from_origin(-half_m, half_m, RESOLUTION_M, RESOLUTION_M)) as file:
        file.write(np.moveaxis(image, -1, 0))


def gap_closed(figures: dict[str, dict[str, float]], name: str) -> float:
    """Return the share of what world B was worse than world A that training has made up for."""
    before, after = figures['B before'][name], figures['B after'][name]
    gap = before - figures['A before'][name]
    return (before - after) / gap if gap > 0 else float('nan')


def table(figures: dict[str, dict[str, float]]) -> str:
    """Return the figures as lines of text, with what they come to."""
    lines = [f'{"":12}' + ''.join(f'{name:>18}' for name in FIGURES)]
    lines += [f'{row:12}' + ''.join(f'{found[name]:18.2f}' for name in FIGURES)
              for row, found in figures.items()]
    closed = ', '.join(f'{gap_closed(figures, name):.0%} ({name})' for name in ERRORS)
    lost = ', '.join(f'{figures["A after"][name] / figures["A before"][name] - 1:+.0%} ({name})'
                     for name in ERRORS)
    return '\n'.join([*lines, f'gap between the worlds closed: {closed}',
                      f'change in world A: {lost}'])


def main() -> None:
    """Prove it, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help='of everything that is made; 500 MB')
    for name, default in (
            ('drives', 6), ('images', 600), ('steps', 1200), ('batch', 4),
            ('validation-frames', 64), ('simulated-cities', 40), ('threads', 2),
            ('calibrating', 16), ('held-out', 12), ('short-images', 60)):
        parser.add_argument(f'--{name}', type=int, default=default, metavar='N',
                            help=f'({default})')
    for name, default in (('rate-hz', 2.0), ('simulated-share', 0.5)):
        parser.add_argument(f'--{name}', type=float, default=default, metavar='X',
                            help=f'({default})')
    print(table(Proof(**vars(parser.parse_args())).run()))


if __name__ == '__main__':
    main()
