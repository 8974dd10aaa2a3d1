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

"""How far the poses of drives can be trusted: figures under their JSON names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from fg2_ros.evaluation.drives.results import Claim, DriveResult, ImageResult
from fg2_ros.evaluation.metrics import FrameResult, share_over
import numpy as np

WRONG_M, WRONG_DEG = 5.0, 20.0  # a pose is wrong beyond either
RUN_IN_S = 3.0                  # of driving, before poses are expected
COVERAGES = (50, 90, 95, 99)    # percent, of the position's ellipses
SOON_S = (5, 10, 15)
SENTENCES = 12

Source = Callable[[ImageResult], Claim | None]


def trust_metrics(drives: Sequence[DriveResult]) -> dict:
    """
    Return all figures of drives.

    Errors, coverage and sigma are those of the belief's published poses; ``wrong_published``
    counts an image if either of its two published poses is wrong. Times are medians over the
    drives; None where it did not happen in half of them.

    :raises ValueError: if there are no drives.
    """
    if not drives:
        raise ValueError('there are no drives to summarise')
    images = [image for drive in drives for image in drive.images]
    return claim_figures(drives, tracked) | {
        'drives': len(drives),
        'wrong_published': float(np.mean([is_wrong(image) for image in images])),
        'anees_pose': anees(images, measured), 'anees_track': anees(images, tracked),
        'pose_published': sum(image.measurement is not None for image in images),
        'pose_median_error_m': median(error_m(images, measured)),
        **time_figures(drives), 'ekf': filter_figures(drives),
        'single_frame': claim_figures(drives, alone) | {'anees': anees(images, alone)},
        'by_drive': {str(drive.name): drive_figures(drive) for drive in drives},
        'silences': dict(Counter(image.rejection for image in images if image.rejection)),
        'sentences': sentence_counts(images)}


def claim_figures(drives: Sequence[DriveResult], source: Source) -> dict:
    """Return the figures that every way to publish poses has."""
    images = [image for drive in drives for image in drive.images]
    late = [image for image in images if image.time_s >= RUN_IN_S]
    found = results(images, source)
    position_m = error_m(images, source)
    wrong = [frame_is_wrong(result) for result in found]
    return {
        'frames': len(images), 'published': len(found),
        'published_share': len(found) / len(images),
        'published_after_3s': len(results(late, source)) / len(late) if late else None,
        'median_error_m': median(position_m),
        'mean_error_m': float(np.mean(position_m)) if found else None,
        'p95_error_m': float(np.percentile(position_m, 95)) if found else None,
        'max_error_m': float(np.max(position_m)) if found else None,
        'over_2m': share_over(position_m, 2.0) if found else None,
        'over_5m': share_over(position_m, WRONG_M) if found else None,
        'wrong_published': sum(wrong) / len(images),
        'median_yaw_error_deg': median([result.yaw_error_deg for result in found]),
        **{f'coverage_{percent}': coverage(found, percent / 100) for percent in COVERAGES},
        'median_sigma_m': median([sigma_m(result.covariance) for result in found])}


def drive_figures(drive: DriveResult) -> dict:
    """Return the figures of one drive that tell it from others."""
    own = claim_figures([drive], tracked)
    names = ('frames', 'published_share', 'median_error_m', 'p95_error_m', 'max_error_m',
             'median_sigma_m')
    right_s = first_time_s(drive, is_right)
    return {'length_m': drive.length_m} | {name: own[name] for name in names} | {
        'wrong_published': float(np.mean([is_wrong(image) for image in drive.images])),
        'anees_track': anees(drive.images, tracked),
        'time_to_right_pose_s': right_s if np.isfinite(right_s) else None}


def time_figures(drives: Sequence[DriveResult]) -> dict:
    """Return how long it took to publish something, something right, and to recover."""
    right_s = [first_time_s(drive, is_right) for drive in drives]
    recovery_s = [recovered_after_s(drive) for drive in drives if drive.fault_s is not None]
    return {
        'time_to_first_pose_s': finite_median([
            first_time_s(drive, lambda image: image.track is not None) for drive in drives]),
        'time_to_right_pose_s': finite_median(right_s),
        **{f'right_within_{soon}s': within(right_s, soon) for soon in SOON_S},
        'recovery_s': finite_median(recovery_s) if recovery_s else None,
        **{f'recovered_within_{soon}s': within(recovery_s, soon) if recovery_s else None
           for soon in SOON_S},
        'sentence_within_5s': within([
            first_sentence_s(drive) for drive in drives], 5)}


def filter_figures(drives: Sequence[DriveResult]) -> dict:
    """Return how filters fared that were fed with ~/pose, against GNSS."""
    known = [(drive.ekf.rmse_m, drive.ekf.gnss_rmse_m) for drive in drives
             if drive.ekf.rmse_m is not None and drive.ekf.gnss_rmse_m is not None]
    consistency = [drive.ekf.anees for drive in drives if drive.ekf.anees is not None]
    return {
        'drives': len(known),
        'median_rmse_m': median([own_m for own_m, _ in known]),
        'gnss_median_rmse_m': median([gnss_m for _, gnss_m in known]),
        'better_than_gnss': float(np.mean([
            own_m < gnss_m for own_m, gnss_m in known])) if known else None,
        'anees': float(np.mean(consistency)) if consistency else None,
        'anees_median': median(consistency),
        'by_drive': {str(drive.name): {
            'rmse_m': drive.ekf.rmse_m, 'gnss_rmse_m': drive.ekf.gnss_rmse_m,
            'anees': drive.ekf.anees} for drive in drives}}


def tracked(image: ImageResult) -> Claim | None:
    """Return what the belief published."""
    return image.track


def measured(image: ImageResult) -> Claim | None:
    """Return what went out for a filter."""
    return image.measurement


def alone(image: ImageResult) -> Claim | None:
    """Return what the image alone would have published."""
    return image.single


def results(images: Sequence[ImageResult], source: Source) -> list[FrameResult]:
    """Return the poses that were published, against the truth."""
    return [image.errors_of(claim) for image in images
            if (claim := source(image)) is not None]


def error_m(images: Sequence[ImageResult], source: Source) -> list[float]:
    """Return the position errors of the poses that were published."""
    return [result.position_error_m for result in results(images, source)]


def anees(images: Sequence[ImageResult], source: Source) -> float | None:
    """Return the average NEES over its 3 degrees of freedom; 1 is honest."""
    values = [result.nees for result in results(images, source)]
    return float(np.mean(values)) if values else None


def frame_is_wrong(result: FrameResult) -> bool:
    """Return whether an error is beyond what anybody could call right; NaN is."""
    return not (result.position_error_m <= WRONG_M and result.yaw_error_deg <= WRONG_DEG)


def is_wrong(image: ImageResult) -> bool:
    """Return whether anything was published for an image that is wrong."""
    return any(frame_is_wrong(image.errors_of(claim))
               for claim in (image.track, image.measurement) if claim is not None)


def is_right(image: ImageResult) -> bool:
    """Return whether the belief published a pose, and nothing wrong."""
    return image.track is not None and not is_wrong(image)


def position_nees(result: FrameResult) -> float:
    """Return the squared Mahalanobis distance of the position; chi-squared with 2 degrees."""
    error = np.array([result.error.x, result.error.y])
    return float(error @ np.linalg.solve(result.error_covariance[:2, :2], error))


def coverage(found: Sequence[FrameResult], probability: float) -> float | None:
    """Return the share of true positions within the ellipses of a probability."""
    if not found:
        return None
    limit = -2 * np.log1p(-probability)  # quantile of chi-squared with 2 degrees of freedom
    return float(np.mean([position_nees(result) <= limit for result in found]))


def sigma_m(covariance: np.ndarray) -> float:
    """Return the standard deviation in the direction in which the position is known worst."""
    return float(np.sqrt(np.linalg.eigvalsh(covariance[:2, :2])[-1]))


def first_time_s(drive: DriveResult, what: Callable[[ImageResult], bool]) -> float:
    """Return the time of the first image of which something holds; inf if of none."""
    return next((image.time_s for image in drive.images if what(image)), np.inf)


def first_sentence_s(drive: DriveResult) -> float:
    """Return how long after the fault, or the beginning, a doubt was told; inf for never."""
    begin_s = drive.fault_s or 0.0
    return next((image.time_s - begin_s for image in drive.images
                 if image.time_s >= begin_s and doubts(image)), np.inf)


def doubts(image: ImageResult) -> tuple[str, ...]:
    """Return what was told of an image, but for that there were too few of them yet."""
    return image.sentences[1:] if image.rejection == 'start' else image.sentences


def recovered_after_s(drive: DriveResult) -> float:
    """Return how long after the fault, or the beginning, right poses came, and then no wrong."""
    begin_s = drive.fault_s or 0.0
    after = [image for image in drive.images if image.time_s >= begin_s]
    wrong_s = max((image.time_s for image in after if is_wrong(image)), default=-np.inf)
    return next((image.time_s - begin_s for image in after
                 if is_right(image) and image.time_s > wrong_s), np.inf)


def within(times_s: Sequence[float], soon_s: float) -> float:
    """Return the share of times up to a limit."""
    return float(np.mean(np.asarray(times_s) <= soon_s))


def median(values: Sequence[float]) -> float | None:
    """Return the median; None of nothing."""
    return float(np.median(values)) if len(values) else None


def finite_median(values: Sequence[float]) -> float | None:
    """Return the median; None if it is infinite."""
    middle = float(np.median(values))
    return middle if np.isfinite(middle) else None


def sentence_counts(images: Sequence[ImageResult]) -> dict[str, int]:
    """Return how often the most frequent sentences came, whatever numbers are in them."""
    counts: Counter = Counter()
    example: dict[str, str] = {}
    for sentence in (each for image in images for each in image.sentences):
        kind = ''.join('#' if letter.isdigit() else letter for letter in sentence)
        example.setdefault(kind, sentence)
        counts[kind] += 1
    return {example[kind]: count for kind, count in counts.most_common(SENTENCES)}
