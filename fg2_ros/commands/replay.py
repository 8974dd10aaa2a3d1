"""
Localize the images of a recorded drive, without ROS running.

The messages of the bag go through what the node does with them, one after the other, as fast as
the localizer is; imagery is waited for. Topics that are the only ones of their type need not be
named.
"""

from __future__ import annotations

import argparse
from collections import Counter
from contextlib import closing
from dataclasses import replace
import logging
from pathlib import Path
import sys
from typing import TYPE_CHECKING

from fg2_ros.commands.evaluate import text_table
from fg2_ros.commands.options import add_localizer_options, write_json
import numpy as np

if TYPE_CHECKING:
    from fg2_ros.evaluation.drive import DriveRecord
    from fg2_ros.geometry.frames import MapFrame
    from fg2_ros.imagery import AerialPatch, Imagery
    from fg2_ros.replay.recording import Recording, Topics
    from fg2_ros.replay.replay import Replay, ReplayedImage
    from fg2_ros.ros.node_settings import NodeSettings
    from fg2_ros.ros.pipeline import Pipeline

INPUTS = {
    'image': 'of sensor_msgs/Image or CompressedImage', 'fix': 'of sensor_msgs/NavSatFix',
    'odom': 'of nav_msgs/Odometry, or "none"', 'imu': 'of sensor_msgs/Imu, or "none"',
    'camera_info': 'of sensor_msgs/CameraInfo; only pinhole cameras need it',
    'truth': 'ground truth: geometry_msgs/PoseStamped of base_link, with a NavSatFix on "datum" '
             'beside it, or sensor_msgs/NavSatFix (default: /ground_truth/pose, if it is there)'}
OVERLAYS = 8
INTERRUPTED = 'interrupted'
MAP_MARGIN_M, MAP_PX = 40.0, 2048

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument('bag', type=Path, metavar='BAG',
                        help='rosbag2 folder, .mcap, .db3 or ROS 1 .bag')
    parser.add_argument(
        '--source', action='append', required=True, metavar='NAME|URL|FILE',
        help="imagery, as the node's imagery.sources; again for where it has none or fails")
    parser.add_argument('--catalogue', default='', metavar='FILE',
                        help='describes the sources (default: config/sources.yaml)')
    parser.add_argument('--cache', default='~/.cache/fg2_ros', metavar='FOLDER',
                        help='keeps downloaded tiles (%(default)s)')
    parser.add_argument('--wait', type=float, default=60.0, metavar='S',
                        help='how long an image waits for its imagery (%(default)s)')
    add_localizer_options(parser)
    parser.set_defaults(precision='auto')  # as the node's
    parser.add_argument('--orientation-weights', default='', metavar='FILE',
                        help='finds headings where nothing else tells them')
    for name, meaning in INPUTS.items():
        parser.add_argument('--' + name.replace('_', '-'), metavar='TOPIC', help=meaning)
    parser.add_argument('--base-frame', default='base_link', metavar='FRAME',
                        help='whose pose is wanted (%(default)s)')
    parser.add_argument('--camera-frame', default='', metavar='FRAME',
                        help='(default: the one that the images name)')
    parser.add_argument('--camera-axes', choices=('body', 'optical'), default='body',
                        help="of the camera's frame (%(default)s)")
    parser.add_argument('--every', type=int, default=1, metavar='N', help='only each Nth image')
    parser.add_argument('--limit', type=int, metavar='N', help='at most N images')
    parser.add_argument('--out', type=Path, metavar='FOLDER',
                        help='write poses.csv, poses.geojson and the bag poses there')
    parser.add_argument('--report', type=Path, metavar='FILE.html',
                        help='write a page; needs a ground truth with headings')


def run(args: argparse.Namespace) -> int:
    """Replay the bag, write the poses and sum up."""
    from fg2_ros.replay.outputs import require_new
    from fg2_ros.replay.recording import choose_topics, Recording

    if args.every < 1 or (args.limit or 1) < 1 or not 0 <= args.wait <= 600:
        raise ValueError('--every and --limit must be positive, --wait from 0 to 600 s')
    if args.out:
        require_new(args.out)
    with closing(Recording(args.bag)) as recording:
        topics = choose_topics(recording, {name: getattr(args, name) for name in INPUTS})
        require_report_is_possible(args, recording, topics)
        require_mounts(args, recording)
        return replay(args, recording, topics)


def require_report_is_possible(
        args: argparse.Namespace, recording: Recording, topics: Topics) -> None:
    """Refuse to write a page without true poses, before anything takes time."""
    from fg2_ros.replay.recording import POSE
    if args.report and recording.types.get(topics.truth) != POSE:
        raise ValueError(f'--report needs a ground truth of {POSE}: name it with --truth')


def require_mounts(args: argparse.Namespace, recording: Recording) -> None:
    """Refuse a bag that does not tell where the camera is, unless it is at the vehicle's frame."""
    from fg2_ros.replay.replay import STATIC
    if not recording.types.get(STATIC) and args.camera_frame != args.base_frame:
        raise ValueError(
            f'{recording.path} has no {STATIC}, which tells where the camera is on the vehicle: '
            f'record it, or say --camera-frame {args.base_frame} if all sensors sit there and '
            'look ahead')


def node_settings(args: argparse.Namespace) -> NodeSettings:
    """Return the settings of a node that would do the same."""
    from fg2_ros.ros.node_settings import ImagerySettings, NodeSettings
    settings = NodeSettings(
        weights=str(args.weights), orientation_weights=args.orientation_weights,
        device=args.device, precision=args.precision, base_frame=args.base_frame,
        camera_frame=args.camera_frame, camera_axes=args.camera_axes,
        imagery=ImagerySettings(
            sources=tuple(args.source), catalogue=args.catalogue, cache_path=args.cache))
    if not hasattr(settings.localizer, 'patch'):
        raise ValueError('torch is not installed: see "Installation" in the README')
    patch = replace(settings.localizer.patch, wait_s=args.wait)
    return replace(settings, localizer=replace(settings.localizer, patch=patch))


def replay(args: argparse.Namespace, recording: Recording, topics: Topics) -> int:
    """Localize the images, write what was asked for, and return the exit code."""
    from fg2_ros.replay.replay import Replay, StaticMounts
    from fg2_ros.ros import loading
    from fg2_ros.ros.pipeline import Pipeline

    settings, mounts = node_settings(args), StaticMounts(recording)
    count = image_count(args, recording, topics)
    with closing(loading.load_localizer(settings)) as loaded:
        tell_what_is_missing(topics, loaded)
        pipeline = Pipeline(settings, loaded, mounts)
        replay = Replay(recording, topics, pipeline,
                        overlay_every=-(-count // OVERLAYS) if args.report else 0)
        outcomes, end = followed(args, replay, count)
        figures = figures_of(args, outcomes, replay, end)
        judged = beside_truth(recording, topics, pipeline, outcomes, figures)
        if args.out and pipeline.map_frame is not None:
            write_poses(args.out, outcomes, pipeline, settings)
        if args.report and judged is not None:
            write_page(args, *judged, loaded.imagery)
    print(text_table(figures))
    print('\n'.join(reasons(figures)))
    write_json(figures, args.json)
    if end:
        print(f'fg2 replay: {end}', file=sys.stderr)
    return 130 if end == INTERRUPTED else int(bool(end))


def image_count(args: argparse.Namespace, recording: Recording, topics: Topics) -> int:
    """Return how many images there are to localize."""
    count = -(-recording.count(topics.image) // args.every)
    return min(count, args.limit or count)


def tell_what_is_missing(topics: Topics, loaded) -> None:
    """
    Say what poses will stand on without some inputs.

    :raises ValueError: if it cannot be done without.
    """
    from fg2_ros.ros.loading import trained_in_simulation
    if loaded.needs_intrinsics and not topics.camera_info:
        raise ValueError('the weights are for a pinhole camera, and the bag has no '
                         'sensor_msgs/CameraInfo, which tells its intrinsics')
    if not topics.odom:
        _log.warning('there is no odometry: priors stand on fixes only')
    if not topics.imu and not loaded.finds_headings:
        _log.warning('there is no IMU: headings come from the motion, and images before it, or '
                     'while the vehicle stands, may have none')
    if trained_in_simulation(loaded.localizer.metadata):
        _log.warning('the weights were trained on simulation only: do not rely on their poses '
                     'with a real camera')


def followed(
        args: argparse.Namespace, replay: Replay, count: int) -> tuple[list[ReplayedImage], str]:
    """Return what became of the images, and why it ended early or ''; show the progress."""
    from contextlib import nullcontext

    from fg2_ros.replay.outputs import CSV_FILE, PoseTable
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    outcomes, accepted = [], 0
    file = closing(PoseTable(args.out / CSV_FILE)) if args.out else nullcontext()
    with file as lines, logging_redirect_tqdm([logging.getLogger()]), tqdm(
            total=count, desc='localizing', unit='image', dynamic_ncols=True) as bar:
        try:
            for outcome in replay.outcomes(args.every, args.limit):
                outcomes.append(outcome)
                if lines is not None:
                    lines.add(outcome)
                accepted += outcome.accepted
                bar.set_postfix_str(f'{accepted} accepted', refresh=False)
                bar.update()
        except KeyboardInterrupt:
            return outcomes, INTERRUPTED
        except ValueError as error:
            return outcomes, str(error)
    return outcomes, ''


def figures_of(args: argparse.Namespace, outcomes: list[ReplayedImage], replay: Replay,
               end: str) -> dict:
    """Return what became of the images, in figures."""
    return {
        'bag': args.bag.name, 'weights': args.weights.name, 'images': len(outcomes),
        'accepted': sum(each.accepted for each in outcomes),
        'latency_p50_ms': round(float(np.median([
            each.latency_ms for each in outcomes])), 2) if outcomes else None,
        'rejected': dict(Counter(each.kind for each in outcomes if each.kind)),
        'last_rejections': {each.kind: each.rejection for each in outcomes if each.kind},
        'unusable_messages': dict(replay.unusable), 'last_troubles': replay.last_trouble,
        'ended_early': end or None}


def beside_truth(
        recording: Recording, topics: Topics, pipeline: Pipeline, outcomes: list[ReplayedImage],
        figures: dict) -> tuple[DriveRecord, MapFrame] | None:
    """Return the drive in the map of its ground truth, if there is one, and add its figures."""
    from fg2_ros.replay.truth import drive_record, read_fixes, read_truth, truth_figures
    try:
        truth = read_truth(recording, topics, pipeline)
        if truth is None:
            return None
        record = drive_record(truth, read_fixes(recording, topics.fix, pipeline), outcomes, {
            f'rejected: {kind}': f'{count} images, such as: {figures["last_rejections"][kind]}'
            for kind, count in figures['rejected'].items()})
    except ValueError as error:
        _log.warning('there are no errors of the poses: %s', error)
        return None
    figures |= truth_figures(record, truth.has_heading)
    return record, truth.frame


def write_poses(folder: Path, outcomes: list[ReplayedImage], pipeline: Pipeline,
                settings: NodeSettings) -> None:
    """Write the poses for maps and for ROS; the table is there already."""
    from fg2_ros.replay.outputs import BAG_FOLDER, GEOJSON_FILE, write_bag, write_geojson
    write_geojson(folder / GEOJSON_FILE, outcomes)
    write_bag(folder / BAG_FOLDER, outcomes, pipeline.map_frame, settings)


def write_page(args: argparse.Namespace, record: DriveRecord, frame: MapFrame,
               imagery: Imagery) -> None:
    """Write the report."""
    from fg2_ros.report.drive import write_report
    args.report.parent.mkdir(parents=True, exist_ok=True)
    write_report(
        args.report, record, background(record, frame, imagery, args.wait),
        f'Replay of {args.bag.name}', f'Weights {args.weights.name}')


def background(record: DriveRecord, frame: MapFrame, imagery: Imagery,
               wait_s: float) -> AerialPatch:
    """Return an aerial image of the whole drive; without imagery a grey one."""
    from fg2_ros.imagery import AerialPatch, ImageryError, PatchView
    low, high = (limit(record.truth[:, :2], axis=0) for limit in (np.min, np.max))
    centre_m, size_m = tuple((low + high) / 2), float(np.max(high - low)) + 2 * MAP_MARGIN_M
    try:
        return imagery.patch(PatchView(frame, centre_m, size_m, MAP_PX), wait_s)
    except ImageryError as error:
        _log.warning('the map of the report has no background: %s', error)
        grey = np.full((64, 64, 3), 128, np.uint8)
        return AerialPatch(grey, PatchView(frame, centre_m, size_m, 64), None, 'none')


def reasons(figures: dict) -> list[str]:
    """Return the rejections and the unusable messages by kind, each with the last sentence."""
    rejected = [f'rejected, {kind}: {count}, the last: {figures["last_rejections"][kind]}'
                for kind, count in figures['rejected'].items()]
    return rejected + [
        f'unusable on {topic}: {count}, the last: {figures["last_troubles"][topic]}'
        for topic, count in figures['unusable_messages'].items()]
