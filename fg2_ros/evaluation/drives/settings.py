"""Which drives are driven, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.evaluation.drives.rendered import DriveSpec
from fg2_ros.settings import setting
from fg2_ros.simulation.seeds import seed_range

FAULTS = (
    'none', 'yaw180', 'yaw90', 'other_city', 'other_street', 'mirrored', 'prior_30m', 'occluded',
    'dark', 'stale', 'clouds', 'odometry_jump', 'odometry_restart', 'gnss_jump', 'kidnapped',
    'standstill', 'mount_180')
HEADING_FAULTS = ('yaw180', 'yaw90')  # of a heading that must be there


@dataclass(frozen=True)
class RowSettings:
    """Which drives are driven, and what is wrong with them."""

    city_seeds: tuple[int, int] = setting(
        (2100, 2139), 'A drive in each city; seeds below 1100 were seen in training, validation '
        'and calibration.', parse=seed_range, option={'metavar': 'A-B'})
    difficulty: str = setting('standard', 'Of the cities.', choices=('standard', 'hard'))
    frames: int = setting(60, 'Images of each drive.', between=(3, 100000))
    rate_hz: float = setting(
        4.0, 'Of the images.', unit='Hz', between=(0.1, 100.0), option={'name': 'rate'})
    fault: str = setting('none', 'What is wrong.', choices=FAULTS)
    prior_offset_m: float = setting(
        0.0, 'All fixes are off by so many metres, and claim half of it as sigma.', unit='m',
        between=(0.0, 1000.0), option={'name': 'prior_offset', 'metavar': 'M'})
    heading: bool = setting(True, 'Whether there is an IMU.')

    def __post_init__(self):
        """Refuse what cannot be driven."""
        if not self.heading and self.fault in HEADING_FAULTS:
            raise ValueError(f'the fault {self.fault!r} needs a heading')

    @property
    def seeds(self) -> range:
        """Return the seeds of the drives."""
        return range(self.city_seeds[0], self.city_seeds[1] + 1)

    def spec(self, seed: int) -> DriveSpec:
        """Return the drive of a seed."""
        return DriveSpec(seed, self.difficulty, self.frames, self.rate_hz)

    def other_seed(self, seed: int) -> int:
        """Return the seed of the city that a fault takes images from: the next one."""
        return seed + 1 if seed < self.city_seeds[1] or len(self.seeds) == 1 else self.seeds[0]

    def specs(self) -> list[DriveSpec]:
        """Return all drives that have to be rendered."""
        return [self.spec(seed) for seed in sorted(
            {*self.seeds, *(self.other_seed(seed) for seed in self.seeds)})]
