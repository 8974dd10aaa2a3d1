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

"""The catalogue of imagery (config/sources.yaml), and opening imagery by its name."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, MISSING, replace
import hashlib
import logging
import math
import os
from pathlib import Path
import re
from typing import Any
from urllib.parse import urlsplit

from fg2_ros.geometry import mercator
from fg2_ros.imagery.fallback import FallbackImagery
from fg2_ros.imagery.patch import Imagery, ImageryError, Label
from fg2_ros.imagery.server.http_client import HttpSettings
from fg2_ros.imagery.server.opening import open_server
from fg2_ros.imagery.stores.opening import is_remote, open_local, open_remote
from fg2_ros.imagery.tiles.address import host_of, TileSource
from fg2_ros.imagery.tiles.templates import wants_key
from fg2_ros.settings import checked, setting, yaml_content

KEY_VARIABLE = 'FG2_IMAGERY_KEY'  # holds the API key of a URL that is in no catalogue
TILE_KINDS = ('xyz', 'tms', 'quadkey', 'wmts', 'wms')
_FILE_SUFFIXES = ('.mbtiles', '.pmtiles', '.tif', '.tiff', '.vrt', '.jp2', '.gpkg', '.png', '.jpg',
                  '.jpeg', '.zip')
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CatalogueSource:
    """
    A source of imagery as the catalogue describes it; config/sources.yaml explains the fields.

    :param name: its name in the catalogue; of a source that is in none, '' (see `label`).
    """

    name: str = setting(MISSING, 'Its name in the catalogue.', of=str)
    kind: str = setting(
        MISSING, 'How its tiles are addressed, or file.', of=str, choices=(*TILE_KINDS, 'file'))
    attribution: str = setting(MISSING, 'Whom to name.', of=str)
    terms: str = setting(MISSING, 'Under which terms, with their address.', of=str)
    offline_allowed: bool = setting(MISSING, 'Whether tiles may be kept.', of=bool)
    machine_interpretation_allowed: bool = setting(
        MISSING, 'Whether machines may interpret it.', of=bool)
    vintage: str = setting(MISSING, 'When it was taken.', of=str)
    url: str = setting('', 'Template of the addresses.', secret=True)
    path: str = setting('', 'Of a file, from where the catalogue is; or its URL.', secret=True)
    tile_px: int = setting(256, 'Side of a tile.', unit='px')
    min_zoom: int = setting(0, 'Coarsest zoom.')
    max_zoom: int = setting(19, 'Finest zoom.')
    resolution_m: float = setting(0.0, 'Metres per pixel of the imagery itself; 0: of its zoom.')
    bounds: tuple[float, ...] = setting((), 'West, south, east and north in degrees.')
    subdomains: tuple[str, ...] = setting(('a', 'b', 'c'), 'For {s} in the URL.', of=str)
    connections: int = setting(2, 'To its host at a time.', between=(1, 16))
    key_env: str = setting('', 'Environment variable that holds the API key.')
    placeholders: tuple[str, ...] = setting(
        (), 'SHA-256 of files that mean "no imagery here".', of=str)
    place: str = setting('', 'Where it is, for people.')
    checked: str = setting('', 'When and how address and terms were checked.')
    terms_read: str = setting('', 'The day on which the terms were read.')
    crs: str = setting('', 'Coordinate system of a file that does not say it.')
    bands: tuple[int, ...] = setting((), 'Bands of a file to be red, green and blue.', of=int)
    range: tuple[float, ...] = setting(  # noqa: A003 the catalogue's own word
        (), 'Values of a file shown as black and white.')
    nodata: float | None = setting(None, 'Value of a file that means nothing.', of=float)

    @property
    def label(self) -> str:
        """Return its name in messages: that of the catalogue, or else its host or file."""
        return self.name or (host_of(self.url) if self.url else Path(_path_of(self.path)).name)

    @property
    def wants_key(self) -> bool:
        """Whether its address has a place for an API key."""
        return wants_key(self.url)

    def covers(self, latitude_deg: float, longitude_deg: float) -> bool:
        """Return whether a place lies within its bounds; False if it has none."""
        if not self.bounds:
            return False
        west, south, east, north = self.bounds
        across = (longitude_deg - west) % 360 <= ((east - west) % 360 or 360)
        return south <= latitude_deg <= north and across

    def finest_resolution_m(self) -> float:
        """Return the metres per pixel in the middle of its bounds; 0 if that is not known."""
        if not self.url or not self.bounds:
            return self.resolution_m
        middle_deg = (self.bounds[1] + self.bounds[3]) / 2
        of_zoom_m = mercator.ground_resolution_m(middle_deg, self.max_zoom, self.tile_px)
        return max(of_zoom_m, self.resolution_m)

    def tile_source(self, key: str = '') -> TileSource:
        """
        Return the tile pyramid.

        :param key: the API key; by default that in the environment.
        :raises ValueError: if there is no pyramid, or no key where one is wanted.
        """
        if not self.url:
            raise ValueError(f'{self.label} is a file and has no address')
        key = key or os.environ.get(self.key_env, '')
        if self.wants_key and not key:
            raise ValueError(f'{self.label} wants an API key: put it into the environment variable'
                             f' {self.key_env}')
        url = self.url
        if self.kind == 'tms':
            url = re.sub(r'\{(y|TileRow)\}', '{-y}', url, flags=re.IGNORECASE)
        return TileSource(
            url, name=self.name, key=key, tile_px=self.tile_px, min_zoom=self.min_zoom,
            max_zoom=self.max_zoom, resolution_m=self.resolution_m, subdomains=self.subdomains,
            bounds=self.bounds or None, vintage=self.vintage, attribution=self.attribution)

    def http_settings(self, settings: HttpSettings | None = None) -> HttpSettings:
        """Return how it is asked: the settings, and which files of it mean "no imagery here"."""
        return replace(settings or HttpSettings(), placeholders=self.placeholders,
                       connections=self.connections)

    @property
    def raster_options(self) -> dict[str, Any]:
        """Return what is said of the pixels of a file, see `stores.bands.RasterOptions`."""
        return {'crs': self.crs, 'bands': self.bands, 'shown_range': self.range,
                'nodata': self.nodata}

    def cache_file(self, cache_path: str | Path) -> Path | None:
        """
        Return the MBTiles file of its tiles, or None if they must not be kept.

        :param cache_path: a folder with a file for each source, or a file (``.mbtiles``).
        """
        if not cache_path or not self.url or not self.offline_allowed:
            return None
        path = Path(cache_path).expanduser()
        return path if path.suffix == '.mbtiles' else path / f'{self._file_name()}.mbtiles'

    def _file_name(self) -> str:
        if self.name:
            return self.name
        template = self.tile_source('key').public_template
        host = re.sub(r'[^\w.-]', '_', self.label)
        return f'{host}-{hashlib.sha256(template.encode()).hexdigest()[:8]}'


def shipped_catalogue() -> Path:
    """
    Return the path of config/sources.yaml, in the source tree or where the package is installed.

    :raises ValueError: if it is in neither.
    """
    here = Path(__file__).resolve()
    inside = Path('config') / 'sources.yaml'
    for candidate in (here.parents[2] / inside,
                      *(folder / 'share' / 'fg2_ros' / inside for folder in here.parents)):
        if candidate.is_file():
            return candidate
    raise ValueError('config/sources.yaml was not installed with the package: name a catalogue')


def user_catalogue() -> Path:
    """Return the path of the user's own catalogue, which need not exist."""
    base = os.environ.get('XDG_CONFIG_HOME') or '~/.config'
    return Path(base).expanduser() / 'fg2_ros' / 'sources.yaml'


def load_catalogue(path: str | Path = '') -> dict[str, CatalogueSource]:
    """
    Return the sources of a catalogue by their names.

    :param path: a YAML file; by default the one that comes with the package, and the user's own,
        which wins.
    :raises ValueError: with a sentence that names the file, the source and the key at fault.
    """
    if path:
        return _read(Path(path).expanduser())
    own = user_catalogue()
    return _read(shipped_catalogue()) | (_read(own) if own.is_file() else {})


def _read(path: Path) -> dict[str, CatalogueSource]:
    try:
        entries = yaml_content(path.read_text(encoding='utf-8-sig'))
    except OSError as error:
        raise ValueError(f'the catalogue {path} cannot be read: {error.strerror}') from None
    except UnicodeDecodeError:
        raise ValueError(f'the catalogue {path} is not a text file') from None
    except ValueError as error:
        raise ValueError(f'the catalogue {path} cannot be used: {error}') from None
    if not isinstance(entries, dict):
        raise ValueError(f'the catalogue {path} is not a mapping of names to sources')
    return {str(name): _entry(path, str(name), values) for name, values in entries.items()}


def choose_sources(sources: str | Sequence[str], catalogue: str | Path = '',
                   **of_urls: Any) -> list[CatalogueSource]:
    """
    Return the sources that are meant by names of the catalogue, URL templates and paths.

    :param sources: one or several.
    :param catalogue: the YAML file that explains the names; see `load_catalogue`.
    :param of_urls: ``tile_px``, ``min_zoom`` and ``max_zoom`` of the URLs.
    :raises ValueError: if one is nothing of these, or its terms forbid machine interpretation.
    """
    wanted = [sources] if isinstance(sources, str) else list(sources)
    if not wanted:
        raise ValueError('there is no imagery: name a source of the catalogue, a file or a URL')
    known = {} if all('://' in text for text in wanted) else load_catalogue(catalogue)
    chosen = [_choose(text.strip(), known, catalogue, of_urls) for text in wanted]
    for source in chosen:
        if not source.machine_interpretation_allowed:
            raise ValueError(f'the terms of {source.label} do not allow machine interpretation, '
                             f'so it cannot be used to localize: {source.terms}')
    return chosen


def open_imagery(
        sources: str | Sequence[str], catalogue: str | Path = '', *, cache_path: str | Path = '',
        cache_bytes: int = 500_000_000, key: str = '', coarsest_resolution_m: float = math.inf,
        http: HttpSettings | None = None, **of_urls: Any) -> FallbackImagery:
    """
    Return imagery by name: what the node and all commands use.

    :param sources: names of the catalogue, URL templates or paths, first choice first; what one
        lacks comes from the next.
    :param catalogue: the YAML file that explains the names; see `load_catalogue`.
    :param cache_path: folder in which each source with an address has an MBTiles file, or such a
        file; '' for none. Tiles that must not be kept are not.
    :param cache_bytes: bound of each of the files.
    :param key: API key of the one source that wants one; by default each finds its own in the
        environment.
    :param coarsest_resolution_m: imagery with more metres per pixel on the ground is refused.
    :param http: how servers are treated.
    :param of_urls: ``tile_px``, ``min_zoom`` and ``max_zoom`` of sources given as a URL.
    :raises ValueError: with a sentence, if a source cannot be opened.
    """
    chosen = choose_sources(sources, catalogue, **of_urls)
    with_key = [source.label for source in chosen if source.wants_key]
    if key and len(with_key) > 1:
        raise ValueError(f'there is one API key for {" and ".join(with_key)}: put the key of each '
                         'into its environment variable instead')
    caches = _cache_files(chosen, cache_path)
    with ExitStack() as opened:
        members: list[Imagery] = []
        for source, cache in zip(chosen, caches):
            if source.kind == 'file':
                member = _open_file(source, http)
            else:
                member = open_server(
                    source.tile_source(key if source.wants_key else ''), cache, cache_bytes,
                    http=source.http_settings(http), coarsest_m=coarsest_resolution_m)
            opened.callback(member.close)
            members.append(member)
        opened.pop_all()
    return FallbackImagery(members, coarsest_resolution_m)


def _open_file(source: CatalogueSource, http: HttpSettings | None) -> Imagery:
    try:
        if '://' in source.path:
            return open_remote(
                source.path, Label(source.label, source.vintage, source.attribution), http,
                **source.raster_options)
        return open_local(source.path, name=source.label, vintage=source.vintage,
                          attribution=source.attribution, **source.raster_options)
    except ImageryError as error:
        raise ValueError(str(error)) from None


def _cache_files(chosen: Sequence[CatalogueSource], cache_path: str | Path) -> list[Path | None]:
    """Return the cache file of each source."""
    caches = [source.cache_file(cache_path) for source in chosen]
    kept = [cache for cache in caches if cache]
    if len(set(kept)) < len(kept):
        raise ValueError(f'the cache {kept[0]} is one file, and each source needs one of its own: '
                         'give a folder')
    for source in chosen:
        if cache_path and source.url and not source.offline_allowed:
            _logger.info('tiles of %s are kept in memory only: its terms do not allow more',
                         source.label)
    return caches


def _choose(text: str, known: dict[str, CatalogueSource], catalogue: str | Path,
            of_urls: dict) -> CatalogueSource:
    if text in known:
        return known[text]
    if is_remote(text):
        return _unlisted('file', path=text)
    if '://' in text:
        return _unlisted('xyz', url=text, key_env=KEY_VARIABLE, **of_urls)
    path = Path(text).expanduser()
    if os.path.exists(path):  # which, unlike Path.exists, is False for whatever cannot be one
        return _unlisted('file', path=str(path))
    shown = _without_keys(str(path))
    if '{' in text:
        raise ValueError(f'the imagery {shown} is no URL, which begins with https:// or http://, '
                         'and no file or folder')
    if os.sep in text or path.suffix.lower() in _FILE_SUFFIXES:
        raise ValueError(f'the imagery {shown} does not exist')
    raise ValueError(
        f'{shown!r} is neither a URL, nor a file, nor in the catalogue '
        f'{catalogue or shipped_catalogue()}, which has {", ".join(known) or "nothing"}')


def _path_of(text: str) -> str:
    """Return a path, of an address without what may be a key in it."""
    return urlsplit(text).path if '://' in text else text


def _without_keys(text: str) -> str:
    """Return what may be an address without what may be an API key or a login in it."""
    shown = re.sub(r'^[^/?]*@', '', re.split('[?;]', text)[0])
    return shown if '{' not in shown else shown.partition('/')[0] + '/...'


def _unlisted(kind: str, **values: Any) -> CatalogueSource:
    """Return a source that is in no catalogue: its user has to know the terms."""
    return CatalogueSource(
        name='', kind=kind, attribution='', vintage='', offline_allowed=True,
        machine_interpretation_allowed=True, terms='not in the catalogue: yours to check',
        **values)


def _entry(path: Path, name: str, values: Any) -> CatalogueSource:
    """Return a source of a catalogue's file after checking everything about it."""
    where = f'the catalogue {path}, source {name}'
    if not re.fullmatch(r'[\w-][\w.-]*', name):
        raise ValueError(f'{where}: a name is made of letters, digits, _, - and .')
    if not isinstance(values, dict):
        raise ValueError(f'{where}: it has no keys')
    known = {key.name: key for key in fields(CatalogueSource) if key.name != 'name'}
    given = checked(values, known, lambda key: f'{where}: {key}')
    missing = [key for key in _required(given.get('kind')) if key not in given]
    if missing:
        raise ValueError(f'{where}: the key {missing[0]} is missing')
    source = CatalogueSource(name=name, **given)
    _require_sense(where, source)
    if source.kind != 'file' or is_remote(source.path):
        return source
    return replace(source, path=str(path.parent / Path(source.path).expanduser()))


def _required(kind: Any) -> list[str]:
    always = [key.name for key in fields(CatalogueSource)
              if key.default is MISSING and key.name != 'name']
    return always + (['path'] if kind == 'file' else ['url', 'min_zoom', 'max_zoom'])


def _require_sense(where: str, source: CatalogueSource) -> None:
    for key in ('attribution', 'terms'):
        if not getattr(source, key).strip():
            raise ValueError(f'{where}: {key} must not be empty')
    needed, senseless = ('path', 'url') if source.kind == 'file' else ('url', 'path')
    if getattr(source, senseless) or not getattr(source, needed):
        raise ValueError(f'{where}: kind {source.kind} goes with a {needed}, not a {senseless}')
    if source.kind == 'file':
        if '://' in source.path and not is_remote(source.path):
            raise ValueError(f'{where}: of files on a server only GeoTIFFs can be read, whose '
                             'address ends in .tif')
        _require_senseful_pixels(where, source)
        return
    if any(source.raster_options.values()) or source.nodata is not None:
        raise ValueError(f'{where}: crs, bands, range and nodata go with kind file only')
    if source.wants_key and not source.key_env:
        raise ValueError(f'{where}: key_env must name the environment variable that holds the key')
    for kind, placeholder in (('wms', '{bbox'), ('quadkey', '{q')):
        if (source.kind == kind) != (placeholder in source.url.lower()):
            raise ValueError(f'{where}: kind {source.kind} does not go with its url')
    try:
        source.tile_source('a key')
    except ValueError as error:
        raise ValueError(f'{where}: {error}') from None


def _require_senseful_pixels(where: str, source: CatalogueSource) -> None:
    if len(source.bands) not in (0, 1, 3) or min(source.bands, default=1) < 1:
        raise ValueError(f'{where}: bands are three numbers, of the red, the green and the blue '
                         'band, or one of a grey band, from 1')
    if source.range and (len(source.range) != 2 or not source.range[0] < source.range[1]
                         or not all(map(math.isfinite, source.range))):
        raise ValueError(f'{where}: range is two numbers, the values shown as black and white')
