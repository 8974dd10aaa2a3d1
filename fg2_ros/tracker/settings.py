"""What a user may change of the tracker, and what calibration finds."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.settings import setting


@dataclass(frozen=True)
class MotionSettings:
    """How far odometry is believed."""

    timeout_s: float = setting(
        0.5, 'Odometry is extrapolated by its last velocity for at most this long.',
        unit='s', between=(0.0, 10.0))
    drift_m: float = setting(
        0.06, 'Odometry is off by this much, one sigma, after a metre; after n metres by sqrt(n) '
        'times as much.', unit='m', between=(0.0, 10.0))
    drift_deg: float = setting(
        0.3, 'Its heading is off by this much, one sigma, after a second; after n seconds by '
        'sqrt(n) times as much.', unit='deg', between=(0.0, 90.0))
    speed_without_mps: float = setting(
        10.0, 'How fast the vehicle may drive where there is no odometry.',
        unit='m/s', between=(0.0, 100.0))
    jump_m: float = setting(
        0.5, 'A step of odometry may differ this much from what its velocity and its time allow; '
        'one that differs more is a jump and left out.', unit='m', between=(0.01, 100.0))
    jump_deg: float = setting(
        10.0, 'The same for its heading.', unit='deg', between=(0.1, 180.0))


@dataclass(frozen=True)
class PriorSettings:
    """How GNSS and headings are believed."""

    fix_timeout_s: float = setting(
        10.0, 'A start needs a fix that is not older than this.', unit='s', between=(0.1, 600.0))
    heading_timeout_s: float = setting(
        0.5, 'A heading must be at most this far from the image in time, unless odometry '
        'carries it.', unit='s', between=(0.01, 60.0))
    min_fix_sigma_m: float = setting(
        1.0, 'A fix is never believed better than this: receivers are optimistic between houses.',
        unit='m', between=(0.0, 1000.0))
    min_heading_sigma_deg: float = setting(
        3.0, 'A heading is never believed better than this.', unit='deg', between=(0.0, 90.0))
    fix_wander_s: float = setting(
        30.0, 'Fixes this far apart in time err independently; nearer ones alike.',
        unit='s', between=(0.01, 1000.0))
    heading_wander_s: float = setting(
        30.0, 'Headings this far apart in time err independently; nearer ones alike.',
        unit='s', between=(0.01, 1000.0))
    outlier_share: float = setting(
        0.02, 'Share of fixes and headings that say nothing: what they exclude at most.',
        between=(1e-6, 0.9))
    reach_sigmas: float = setting(
        3.0, 'A search reaches this far around GNSS.', between=(1.0, 10.0))
    largest_reach_m: float = setting(
        170.0, 'But no further than this.', unit='m', between=(10.0, 1000.0))


@dataclass(frozen=True)
class Calibration:
    """
    How much images may be believed: found by `fg2 calibrate` for weights and a camera.

    :param temper: factor of an image's log-likelihood.
    :param nothing_share: of images that say nothing of the pose.
    :param correlation_m: images this far apart along the drive err independently.
    :param memory_m: distance after which what was believed weighs 1/e.
    :param agreement: level that right poses exceed.
    :param bias_m: sigma of position errors that no number of images averages out.
    :param bias_deg: the same of the heading.
    """

    temper: float = 1.0
    nothing_share: float = 0.05
    correlation_m: float = 5.0
    memory_m: float = 60.0
    agreement: float = 0.75
    bias_m: float = 0.25
    bias_deg: float = 0.4
    measurement_temper: float = 0.5
    measurement_bias_m: float = 0.25
    measurement_bias_deg: float = 0.5

    @classmethod
    def of(cls, metadata: dict) -> Calibration:
        """Return the calibration in the metadata of weights."""
        return cls(**metadata.get('tracker', {}))


@dataclass(frozen=True)
class PublicationSettings:
    """What a belief must fulfil to be published."""

    min_mass: float = setting(
        0.95, 'Probability that the likeliest place must have against all others that are '
        'considered.', between=(0.0, 1.0))
    min_images: int = setting(
        4, 'Images, apart from each other, that must have been seen since the start.',
        between=(1, 100))
    apart_m: float = setting(
        1.0, 'Images nearer to the one before are not counted anew: they err alike.',
        unit='m', between=(0.0, 100.0))
    window_m: float = setting(
        30.0, 'The images of the last so many metres must agree with the pose.',
        unit='m', between=(1.0, 1000.0))
    doubt_m: float = setting(
        12.0, 'After this distance without agreement the search starts again.',
        unit='m', between=(1.0, 1000.0))
    max_sigma_m: float = setting(
        5.0, "A larger standard deviation along the position ellipse's major axis is not "
        'published.', unit='m', between=(0.01, 1e6))
    min_valid_share: float = setting(
        0.5, 'With less of the aerial patch covered by imagery nothing is published.',
        between=(0.0, 1.0))


@dataclass(frozen=True)
class TrackerSettings:
    """How inputs are believed, carried along, and when a pose may be published."""

    motion: MotionSettings = MotionSettings()
    prior: PriorSettings = PriorSettings()
    publication: PublicationSettings = PublicationSettings()
    calibration: Calibration = Calibration()
