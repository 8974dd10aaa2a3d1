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

"""Results of made-up drives and frames, and the pages that show them."""

from test.helpers.trust_results import drive, evaluation, RECORDED, shown
from types import SimpleNamespace

import cv2
from fg2_ros.evaluation.drive import DriveRecord
from fg2_ros.evaluation.vigor_kitti.results import (
    Case, CrossViewResult, pose_metrics, pose_metrics_by_group, PoseFound)
from fg2_ros.imagery.cache.cache import TileCache
from fg2_ros.imagery.stores.mbtiles_index import read_mbtiles_index
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.prefetch.coverage import stretches_of, tracks_of
from fg2_ros.prefetch.routes import Route
from fg2_ros.report.coverage import write_coverage
from fg2_ros.report.drive import write_report
from fg2_ros.report.training import write_curves
from fg2_ros.report.trust import write_trust_report
from fg2_ros.report.vigor_kitti import write_case, write_crossview_report
import numpy as np


def noise(height, width, seed=0):
    """Return an (H, W, 3) uint8 picture of coarse noise."""
    small = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    return cv2.resize(small, (width, height))


JPEG = cv2.imencode('.jpg', noise(128, 384))[1].tobytes()
TILE = cv2.imencode('.jpg', noise(256, 256))[1].tobytes()


def record(count=40, missing=(3, 4), sigma_m=0.4, seed=0):
    """Return a drive to the east, whose estimates' errors are as their covariances say."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(count) / 8
    truth = np.stack([8 * time_s, np.full(count, 3.0), np.full(count, 3.14)], axis=1)
    keep = np.setdiff1d(np.arange(count), missing)
    sigmas = np.array([sigma_m, sigma_m / 2, 0.01])
    pose = truth[keep] + rng.standard_normal((len(keep), 3)) * sigmas
    gnss_s = np.arange(-1, time_s[-1], 0.2)
    gnss = np.stack([8 * gnss_s + 0.5 + 3, np.full(len(gnss_s), 3.0 + 4)], axis=1)
    return DriveRecord(
        time_s, truth, gnss_s, gnss, (-0.5, 0.0), time_s[keep], pose,
        np.tile(np.diag(sigmas ** 2), (len(keep), 1, 1)), np.linspace(100, 200, len(keep)),
        [(time_s[0], JPEG), (time_s[3], JPEG)], {'City': '2042 <&>'})


def orthophoto():
    """Return a grey background for the drive."""
    image = np.full((400, 600, 3), 90, np.uint8)
    return SimpleNamespace(image=image, resolution_m=0.25, centre_m=(20.0, 0.0))


def write_drive_page(path):
    """Write the page of a drive."""
    write_report(path, record(), orthophoto(), 'A drive', 'City <7>')


def frame_results(count=200, seed=0):
    """Return the results of frames of two cities, every twentieth of them without a pose."""
    rng = np.random.default_rng(seed)
    return [CrossViewResult(
        index, f'panorama <{index}>.jpg', ('Chicago', 'Seattle')[index % 2], 1.0, 10.0,
        (1.0, 2.0), PoseFound(
            10.0 + rng.normal(0, 2), tuple(rng.normal((1, 2), 0.7).tolist()),
            ((0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.001)), 0.8) if index % 20 else None)
        for index in range(count)]


def write_vigor_page(path):
    """Write the page of an evaluation."""
    results = frame_results()
    figures = {
        'data_set': 'vigor', 'part': 'samearea', 'solver': 'Procrustes', 'orientation': 'known',
        **pose_metrics(results), 'groups': pose_metrics_by_group(results),
        'unreadable': ['there is no <image> of frame 3'], 'unreadable_count': 1,
        'broken_labels': [], 'broken_label_count': 0}
    best, worst = ([Case(result, noise(256, 768, result.index))] for result in results[1:3])
    write_crossview_report(path, figures, results, best, worst, {'weights': 'a.safetensors'})


def write_case_page(path):
    """Write the page of a frame."""
    write_case(path, Case(frame_results()[1], noise(512, 1536)))


def write_coverage_page(path):
    """Write the page of a tile cache along a route that leaves it."""
    cache = TileCache(path.with_suffix('.mbtiles'), 50_000_000, 'test', '(c) Somebody')
    for column in range(6):
        for row in range(3):
            cache.put(TileId(18, 137260 + column, 92201 + row), TILE, '', 4e9)
    cache.close()
    held = read_mbtiles_index(cache.path)
    line = np.array([[47.0, 8.5], [47.0, 8.52]])
    tracks = tracks_of(Route((line,)), held, 0.45, 56.0)
    write_coverage(path, held, tracks, stretches_of(tracks), {'route': {
        'length_km': 1.521, 'none_km': 1.1, 'partial_km': 0.1, 'coarser_km': 0.0}})


def write_training_page(path):
    """Write the page of a training run."""
    records = [{'step': step, 'loss': 5 / step ** 0.3, 'validation': 6 / step ** 0.3}
               for step in range(1, 200)]
    write_curves(path, records, {'Loss [nats]': ('loss', 'validation')})


def write_trust_page(path):
    """Write the page of recorded drives with two networks."""
    drives = [[drive('monday'), drive('tuesday', published)] for published in (True, False)]
    write_trust_report(path, [
        evaluation(each, RECORDED, name, **shown(each)) for name, each in zip('ab', drives)])


PAGES = {
    'drive': write_drive_page, 'trust': write_trust_page, 'vigor_kitti': write_vigor_page,
    'case': write_case_page,
    'coverage': write_coverage_page, 'training': write_training_page}
