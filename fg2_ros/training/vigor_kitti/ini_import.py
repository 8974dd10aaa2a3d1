"""
Settings out of an INI file of another FG2 program, by the names of its keys.

No layout is assumed: a key means what its name says, in whichever section it stands. Names are
those of the hyperparameters in the paper, in their usual spellings; case, underscores and hyphens
do not matter. A section that is named after a data set speaks for that data set only.
"""

from __future__ import annotations

import configparser
from pathlib import Path
import re
from typing import Any, Callable, NamedTuple

from fg2_ros.training.vigor_kitti.run_config import settings_of


class Imported(NamedTuple):
    """
    What an INI file says.

    :param values: settings, as `RunConfig.of` takes them.
    :param ignored: what was not understood: section, key and why.
    """

    values: dict[str, Any]
    ignored: list[str]


def read_ini(path: Path, data_set: str) -> Imported:
    """
    Return the settings that an INI file has for a data set.

    :raises ValueError: if it cannot be read.
    """
    parser = configparser.ConfigParser(
        interpolation=None, strict=False, allow_no_value=True, inline_comment_prefixes=('#', ';'))
    try:
        parser.read_string(path.read_text('utf-8'), str(path))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise ValueError(f'cannot read {path}: {error}') from error
    values, network, ignored = {}, {}, []
    # What concerns the data set only comes last and wins.
    for section in sorted(parser.sections(), key=lambda name: data_set in _plain(name)):
        for key, text in parser[section].items():
            problem = _take(section, key, text or '', data_set, values, network)
            if problem:
                ignored.append(f'[{section}] {key}: {problem}')
    for name in set(values) - set(settings_of(data_set)):
        ignored.append(f'{name}: {data_set} has no such setting')
        del values[name]
    return Imported(values | ({'network': network} if network else {}), ignored)


def _take(section: str, key: str, text: str, data_set: str, values: dict, network: dict) -> str:
    """Put a value where it belongs; return why it cannot be, or an empty text."""
    other = {'vigor': 'kitti', 'kitti': 'vigor'}[data_set]
    name = _plain(key)
    if other in _plain(section) or name.startswith(other):
        return f'of {other}'
    name = name.removeprefix(data_set)
    for table, taken in ((_SETTINGS, values), (_NETWORK, network)):
        for aliases, target, convert in table:
            if name in aliases:
                return _converted(text.strip().strip('\'"'), convert, target, taken)
    return 'unknown'


def _converted(text: str, convert: Callable, target: str, taken: dict) -> str:
    try:
        taken[target] = convert(text)
    except ValueError:
        return f'{text!r} is not understood'
    return ''


def _plain(name: str) -> str:
    return re.sub(r'[^a-z0-9]', '', name.lower())


def _whole(text: str) -> int:
    number = float(text)
    if number != int(number):
        raise ValueError
    return int(number)


def _height_width(text: str) -> list[int]:
    """Return [height, width] of '714, 1428', '(714, 1428)', '714x1428' or '630'."""
    numbers = [int(number) for number in re.findall(r'\d+', text)]
    if not 1 <= len(numbers) <= 2 or re.search(r'[^\d\s,x*()\[\]]', text):
        raise ValueError
    return numbers * 2 if len(numbers) == 1 else numbers


def _area(text: str) -> str:
    area = _plain(text)
    if area not in ('samearea', 'crossarea', 'same', 'cross'):
        raise ValueError
    return area.removesuffix('area') + 'area'


def _angle(text: str) -> float:
    """Return degrees of a number or of yes and no."""
    switches = {'true': 180.0, 'yes': 180.0, 'false': 0.0, 'no': 0.0, 'none': 0.0}
    return switches[text.lower()] if text.lower() in switches else float(text)


def _height_range(text: str) -> list[float]:
    """Return [lowest, highest] of these, or of the extent between them."""
    numbers = [float(number) for number in text.strip('()[] ').replace(',', ' ').split()]
    if not 1 <= len(numbers) <= 2:
        raise ValueError
    return [-numbers[0] / 2, numbers[0] / 2] if len(numbers) == 1 else numbers


def _image_sizes(*views: str) -> set[str]:
    sizes = ('imagesize', 'imgsize', 'size', 'imagehw', 'hw', 'resolution')
    return {f'{view}{size}' for view in views for size in sizes}


_Table = tuple[tuple[set[str], str, Callable[[str], Any]], ...]  # names, setting, conversion
_SETTINGS: _Table = (
    ({'rate', 'lr', 'learningrate', 'initiallearningrate'}, 'rate', float),
    ({'batch', 'batchsize'}, 'batch', _whole),
    ({'epochs', 'epoch', 'numepochs', 'nepochs', 'maxepochs', 'maxepoch'}, 'epochs', _whole),
    ({'beta', 'lossbeta', 'betaloss', 'infonceweight', 'weightinfonce'}, 'beta', float),
    ({'pairs', 'numpairs', 'numsamples', 'nummatches', 'matches'}, 'pairs', _whole),
    ({'root', 'datasetroot', 'dataroot', 'rootdir', 'datadir', 'datasetdir', 'datapath',
      'datasetpath', 'rootfolder'}, 'root', str),
    ({'area'}, 'area', _area),
    ({'backbone', 'backbonepath', 'backboneweights', 'dinopath', 'dinov2path', 'dinoweights',
      'dinov2weights'}, 'backbone', str),
    ({'randomorientation', 'orientationnoise', 'yawrange', 'yawrangedeg'},
     'random_orientation', _angle),
    ({'seed', 'randomseed'}, 'seed', _whole),
    ({'workers', 'numworkers', 'nworkers'}, 'workers', _whole),
    ({'device'}, 'device', str))
_NETWORK: _Table = (
    (_image_sizes('ground', 'grd', 'panorama', 'pano'), 'ground_image_hw', _height_width),
    (_image_sizes('aerial', 'satellite', 'sat'), 'aerial_image_hw', _height_width),
    ({'gridcells', 'numcells', 'numgridcells', 'bevcells', 'gridpoints'}, 'grid_cells', _whole),
    ({'gridextent', 'gridextentm', 'gridsizem'}, 'grid_extent_m', float),
    ({'heightextent', 'heightextentm', 'heightrange', 'heightrangem'}, 'height_range_m',
     _height_range),
    ({'numheights', 'heightcount', 'numheight', 'nheights'}, 'height_count', _whole),
    ({'iterations', 'numiterations', 'niterations'}, 'iterations', _whole),
    ({'temperature', 'tau'}, 'temperature', float),
    ({'dropout'}, 'dropout', float))
