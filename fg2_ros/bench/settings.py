"""What a user may change of the measurement of a frame's stages."""

from __future__ import annotations

from dataclasses import dataclass

from fg2_ros.settings import setting


@dataclass(frozen=True)
class BenchSettings:
    """What is timed, and how often."""

    runs: int = setting(30, 'Timed runs.', between=(1, 10 ** 6))
    warm_up: int = setting(3, 'Runs before.', between=(0, 10 ** 6))
    threads: int | None = setting(
        None, 'Of torch, which otherwise makes its own choice.', of=int, between=(1, 1024))
    width: int = setting(1024, 'Of the panorama.', unit='px', between=(64, 16384))
    city_seed: int = setting(2000, 'Of the simulated city.', between=(0, 10 ** 6))
    compile: bool = setting(  # noqa: A003, as torch calls it
        False, 'Run the network through torch.compile.')
    full: bool = setting(
        False, 'Also compare the full-size head, self-attention and published RANSAC with naive '
        'ones, and measure a full-size frame (minutes on a CPU).')
