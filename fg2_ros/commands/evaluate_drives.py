"""`fg2 evaluate drives`: how far the tracker's poses can be trusted, on simulated drives."""

from __future__ import annotations

import argparse
from contextlib import closing, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
import tempfile
from typing import Any

from fg2_ros.commands.options import add_options, NetworkOptions, Output
from fg2_ros.commands.tables import text_table
from fg2_ros.evaluation.drives.settings import RowSettings
from fg2_ros.settings import setting


@dataclass(frozen=True)
class Driving:
    """How drives are gone through, and what is kept."""

    single_frame: bool = setting(
        True, 'Also localize each image alone, for comparison; takes twice as long.')
    cache: Path | None = setting(
        None, 'Keep the rendered drives there (13 MB each), for all faults.', of=Path,
        option={'metavar': 'FOLDER'})
    out: Path | None = setting(
        None, 'Keep the result of each drive there; the same command again goes on with them.',
        of=Path, option={'metavar': 'FOLDER'})
    workers: int = setting(2, 'Rendering processes.', between=(1, 256))
    report: Path | None = setting(
        None, 'Write a page.', of=Path, option={'metavar': 'FILE.html'})


def add_data_set(data_sets: argparse._SubParsersAction) -> None:
    """Declare the options."""
    drives = data_sets.add_parser(
        'drives', help='the tracker along simulated drives, with everything that can go wrong')
    add_options(drives, run, RowSettings, Driving, NetworkOptions, Output)


def run(settings: RowSettings, driving: Driving, network: NetworkOptions, output: Output) -> int:
    """Drive, print the figures and write them."""
    with ExitStack() as stack:
        cache = driving.cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        render(settings, cache, driving.workers)
        figures = drive(settings, driving, network, cache)
    print(text_table(figures))
    output.write(figures)
    return 0


def render(settings: RowSettings, cache: Path, workers: int) -> None:
    """Render the drives that are not there, with a bar."""
    from fg2_ros.evaluation.drives.rendered import render_missing
    from tqdm import tqdm
    specs = settings.specs()
    with tqdm(total=len(specs), desc='rendering', unit='drive', dynamic_ncols=True) as bar:
        render_missing(specs, cache, workers, lambda spec: bar.update())


def drive(settings: RowSettings, driving: Driving, network: NetworkOptions,
          cache: Path) -> dict[str, Any]:
    """Follow the drives that have no result yet; return the figures of all."""
    from fg2_ros.evaluation.drives.figures import figures
    from fg2_ros.evaluation.drives.results import DriveResult
    from fg2_ros.evaluation.drives.vehicle import Vehicle
    from fg2_ros.evaluation.vigor_kitti.result_file import ResultFile
    from fg2_ros.evaluation.vigor_kitti.run import file_fingerprint
    from tqdm import tqdm
    described = {'weights': network.weights.name, **asdict(settings),
                 'city_seeds': list(settings.city_seeds)}
    described['frames_per_drive'] = described.pop('frames')
    depends_on = described | {
        'weights': file_fingerprint(network.weights), 'precision': network.precision,
        'single_frame': driving.single_frame}
    vehicle = Vehicle.load(
        network.weights, network.device, network.precision, with_single=driving.single_frame)
    with closing(ResultFile(driving.out, depends_on)) as store:
        left = [seed for seed in settings.seeds if seed not in store.results]
        with tqdm(total=len(left) * settings.frames, desc='driving', unit='image',
                  dynamic_ncols=True) as bar:
            for seed in left:
                result = vehicle.drive(settings, seed, cache, lambda image: bar.update())
                store.add(seed, result.as_json())
        results = [DriveResult.from_json(store.results[seed]) for seed in settings.seeds]
    found = figures(results) | described
    if driving.report:
        from fg2_ros.evaluation.drives.moments import chosen_moments, published_poses
        from fg2_ros.report.trust import write_trust_report
        write_trust_report(
            driving.report, found, published_poses(results),
            chosen_moments(results, vehicle, settings, cache))
    return found
