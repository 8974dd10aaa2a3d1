"""The page of `fg2 evaluate drives`: one HTML file that opens offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fg2_ros.report import trust_charts
from fg2_ros.report.trust_charts import Moment, PublishedPoses
from jinja2 import Environment, PackageLoader

CARDS = (
    ('published_after_3s', 'published after 3 s', '%', 1), ('median_error_m', 'median', 'm', 2),
    ('p95_error_m', '95th percentile', 'm', 2),
    ('wrong_published', 'wrong and published', '%', 2),
    ('anees_track', 'ANEES of the belief', '', 2), ('anees_pose', 'ANEES of ~/pose', '', 2),
    ('coverage_95', 'in 95 % ellipses', '%', 1))


def write_trust_report(
        path: Path, figures: dict, origins: Sequence[PublishedPoses],
        moments: Sequence[Moment]) -> None:
    """
    Write figures, charts and beliefs as one self-contained page.

    :param path: the HTML file; replaced if it exists.
    :param figures: as the command writes them.
    :param origins: of poses that are compared; those without any are left out.
    :param moments: at which the belief is shown.
    """
    known = [origin for origin in origins if len(origin.error_m)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(environment().get_template('trust.html').render(
        figures=figures, cards=cards(figures), charts=charts(known, figures) if known else [],
        moments=[(moment, trust_charts.belief_picture(moment)) for moment in moments],
        rows=[(name, text(value)) for name, value in figures.items()
              if not isinstance(value, dict)]), encoding='utf-8')


def environment() -> Environment:
    """Return where templates come from; whatever is put into them is escaped."""
    return Environment(loader=PackageLoader('fg2_ros.report'), autoescape=True,
                       trim_blocks=True, lstrip_blocks=True)


def charts(origins: Sequence[PublishedPoses], figures: dict) -> list[tuple[str, str]]:
    """Return (title, picture) of all charts."""
    return [
        ('Reliability', trust_charts.reliability(origins)),
        ('Risk against coverage', trust_charts.risk_against_coverage(origins)),
        ('Error against claimed sigma', trust_charts.error_against_sigma(origins)),
        ('Errors over the drive', trust_charts.errors_over_time(origins)),
        ('Published over the drive', trust_charts.published_over_time(
            origins, figures['drives'] * figures['rate_hz']))]


def cards(figures: dict) -> list[tuple[str, str]]:
    """Return (name, value) of the figures that matter most."""
    return [(name, text(figures[key], unit, digits)) for key, name, unit, digits in CARDS]


def text(value, unit: str = '', digits: int = 4) -> str:
    """Return a figure as a person reads it; a dash for None, shares in percent."""
    if value is None:
        return '–'
    if not isinstance(value, float):
        return str(value)
    return f'{100 * value if unit == "%" else value:.{digits}f} {unit}'.rstrip()
