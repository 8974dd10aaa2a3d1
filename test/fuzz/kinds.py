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

"""The kinds of input that are fuzzed: good ones, how they are changed, and how they are used."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing, redirect_stderr
from dataclasses import dataclass
from functools import lru_cache, partial
import io
from pathlib import Path
from random import Random
import tempfile
from test.fuzz import formats
from test.fuzz.mutators import extreme_text, mutated_bytes, mutated_text

from fg2_ros.imagery.patch import ImageryError

PLACE = 47.0, 8.5
ZOOM = 18


REFUSALS = (ValueError, ImageryError)  # what the package raises about its inputs
_LONGEST = 4000  # characters of a sentence


def require_sentence(error: Exception) -> None:
    """Raise an AssertionError unless a refusal says something that people can read."""
    text = str(error)
    assert text.strip(), 'nothing is said'
    assert not isinstance(error, UnicodeError), f'a codec speaks: {text}'
    assert len(text) <= _LONGEST, f'{len(text)} characters are said: {text[:300]}'


def attempts(*uses: Callable[[], object]) -> None:
    """Use an input in several ways; raises the first refusal after all."""
    refusals: list[Exception] = []
    for use in uses:
        try:
            use()
        except REFUSALS as error:
            require_sentence(error)
            refusals.append(error)
    if refusals:
        raise refusals[0] from None


@dataclass(frozen=True)
class Kind:
    """
    A kind of input.

    :param suffix: of the files.
    :param seeds: returns good ones.
    :param changed: returns a changed one.
    :param use: uses a file as the package's users do; returns normally or raises one of the
        exceptions of the API.
    """

    suffix: str
    seeds: Callable[[], list[bytes]]
    changed: Callable[[Random, bytes], bytes]
    use: Callable[[Path], None]

    def case(self, name: str, number: int) -> bytes:
        """Return the input of a number, always the same; -1, -2 ... are those without a change."""
        if number < 0:
            return _kept(self.seeds)[number]
        rng = Random(f'{name} {number}')
        return self.changed(rng, rng.choice(_kept(self.seeds)))


@lru_cache
def _kept(seeds: Callable[[], list[bytes]]) -> list[bytes]:
    return seeds()


def written(write: Callable[[Path], object], name: str = 'file') -> bytes:
    """Return the bytes of a file that a function writes."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


# Bags ------------------------------------------------------------------------------------------


def bags(plugin: str) -> list[bytes]:
    """Return small recorded drives."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import get_typestore, Stores
    store = get_typestore(Stores.ROS2_JAZZY)
    found = []
    for compressed in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            with Writer(Path(folder) / 'bag', version=9,
                        storage_plugin=StoragePlugin[plugin]) as writer:
                _write_drive(writer, store, compressed)
            storage, = set((Path(folder) / 'bag').glob('bag.*'))
            found.append(storage.read_bytes())
    return found


def _write_drive(writer, store, compressed: bool) -> None:
    import numpy as np
    types, image = store.types, 'CompressedImage' if compressed else 'Image'
    topics = {kind: writer.add_connection(f'/{kind.lower()}', f'sensor_msgs/msg/{kind}',
                                          typestore=store) for kind in ('NavSatFix', image)}
    for second in range(3):
        stamp = types['builtin_interfaces/msg/Time'](sec=second, nanosec=0)
        header = types['std_msgs/msg/Header'](stamp=stamp, frame_id='gps')
        pixels = np.full(4 * 8 * 3, second, np.uint8)
        messages = {
            'NavSatFix': lambda: types['sensor_msgs/msg/NavSatFix'](
                header=header, status=types['sensor_msgs/msg/NavSatStatus'](status=0, service=1),
                latitude=PLACE[0] + second / 1e4, longitude=PLACE[1], altitude=0.0,
                position_covariance=np.zeros(9), position_covariance_type=0),
            'Image': lambda: types['sensor_msgs/msg/Image'](
                header=header, height=4, width=8, encoding='rgb8', is_bigendian=0, step=24,
                data=pixels),
            'CompressedImage': lambda: types['sensor_msgs/msg/CompressedImage'](
                header=header, format='jpeg', data=pixels)}
        for kind, connection in topics.items():
            writer.write(connection, second * 10 ** 9, store.serialize_cdr(
                messages[kind](), connection.msgtype))


def use_bag(path: Path) -> None:
    """Read its messages as the replay does, and its route."""
    from fg2_ros.prefetch.routes import read_route
    from fg2_ros.replay.recording import choose_topics, Recording

    def replayed():
        with closing(Recording(path)) as recording:
            topics = choose_topics(recording, {})
            for recorded in recording.messages(topics.heard):
                attempts(recorded.message)

    attempts(replayed, lambda: read_route(path))


# Imagery ---------------------------------------------------------------------------------------


def _tiles():
    from test.helpers.analytic_ground import AnalyticGround
    from test.helpers.local_files import tiles_of
    return tiles_of(AnalyticGround(*PLACE), PLACE, ZOOM)


def mbtiles() -> list[bytes]:
    """Return pictures in MBTiles."""
    from test.helpers.local_files import write_mbtiles
    return [written(lambda path: write_mbtiles(
        path, _tiles(), name='made up', format='png', bounds='8.4,46.9,8.6,47.1', minzoom='18',
        maxzoom='18', attribution='<a href="x">y</a>', type='baselayer'))]


def pmtiles() -> list[bytes]:
    """Return pictures in PMTiles."""
    from test.helpers.local_files import write_pmtiles
    return [written(lambda path: write_pmtiles(path, _tiles(), attribution='somebody'))]


def geotiffs() -> list[bytes]:
    """Return a GeoTIFF in Web Mercator, and one in a national grid, turned."""
    from test.helpers.analytic_ground import AnalyticGround
    from test.helpers.local_files import ground_geotiff
    ground = AnalyticGround(*PLACE)
    return [written(lambda path: ground_geotiff(path, ground, crs, 0.4, (150, 130), turned),
                    'file.tif') for crs, turned in (('EPSG:3857', 0.0), ('EPSG:2056', 20.0))]


def use_imagery(path: Path) -> None:
    """Cut a patch out of it, and look at what it covers."""
    from fg2_ros.imagery.stores.mbtiles_index import read_mbtiles_index
    from fg2_ros.imagery.stores.opening import open_local

    def looked_at():
        with closing(open_local(path)) as imagery:
            attempts(lambda: imagery.patch(_view()))
            imagery.status()

    attempts(looked_at, *[lambda: read_mbtiles_index(path)] * (path.suffix == '.mbtiles'))


def _view():
    from fg2_ros.geometry.frames import MapFrame
    from fg2_ros.imagery.patch import PatchView
    return PatchView(MapFrame(*PLACE), (0.0, 0.0), 20.0, 64)


# Routes ----------------------------------------------------------------------------------------

GPX = b"""<?xml version="1.0" encoding="UTF-8"?>
<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1" xmlns:gpxx="http://garmin.example/v3">
<wpt lat="47.0" lon="8.5"><name>depot &amp; garage</name></wpt>
<rte><rtept lat="47.0" lon="8.5"><extensions><gpxx:RoutePointExtension><gpxx:rpt lat="47.001"
 lon="8.501"/></gpxx:RoutePointExtension></extensions></rtept><rtept lat="47.002" lon="8.5"/></rte>
<trk><trkseg><trkpt lat="47.0" lon="8.5"><ele>400</ele><time>2026-05-01T10:00:00Z</time></trkpt>
<trkpt lat="47.0001" lon="8.5001"><time>2026-05-01T10:00:02Z</time></trkpt></trkseg></trk></gpx>"""
KML = b"""<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Placemark><LineString>
<coordinates>8.5,47.0,400 8.501,47.001</coordinates></LineString></Placemark><Placemark><Polygon>
<outerBoundaryIs><LinearRing><coordinates>8.5,47.0 8.501,47.0 8.501,47.001 8.5,47.0</coordinates>
</LinearRing></outerBoundaryIs></Polygon></Placemark></Document></kml>"""
GEOJSON = formats.json_text({'type': 'FeatureCollection', 'features': [
    {'type': 'Feature', 'properties': {}, 'geometry': {
        'type': 'LineString', 'coordinates': [[8.5, 47.0], [8.501, 47.001, 400.0], [8.5, 47.1]]}},
    {'type': 'Feature', 'properties': None, 'geometry': {
        'type': 'GeometryCollection', 'geometries': [
            {'type': 'MultiPoint', 'coordinates': [[8.5, 47.0]]},
            {'type': 'Polygon', 'coordinates': [
                [[8.5, 47.0], [8.51, 47.0], [8.51, 47.01], [8.5, 47.0]],
                [[8.502, 47.001], [8.505, 47.001], [8.505, 47.005], [8.502, 47.001]]]}]}}]})


def use_route(path: Path) -> None:
    """Read it, and list the tiles along it."""
    from fg2_ros.prefetch.areas import tiles_within
    from fg2_ros.prefetch.routes import read_route
    tiles_within(read_route(path), 50.0, ZOOM)


# Settings --------------------------------------------------------------------------------------

POSES = b"""image,lat,lon,compass_angle,captured_at,sequence_id,horizontal_accuracy,pitch,roll
a.jpg,47.0,8.5,90,2026-05-01T10:00:00Z,way,0.5,1,-2
a.jpg,47.00003,8.50004,91.5,1777629602,way,0.5,,
a.jpg,47.00006,8.5001,92,1777629604000,other,0.4,0,0
"""
POSES_JSON = b"""{"type": "FeatureCollection", "features": [{"type": "Feature", "id": "a",
"geometry": {"type": "Point", "coordinates": [8.5, 47.0]}, "properties": {"captured_at": 177762960,
"compass_angle": 90.5, "computed_compass_angle": 91, "camera_type": "spherical", "sequence": "way",
"computed_geometry": {"type": "Point", "coordinates": [8.50001, 47.00001]}}}, {"type": "Feature",
"id": "a", "geometry": {"type": "Point", "coordinates": [8.50003, 47.0]}, "properties": {
"datetime": "2026-05-01T10:00:02+02:00", "view:azimuth": 92, "pers:pitch": 1.5}}]}"""


def photos() -> list[bytes]:
    """Return images that tell their pose, one of them cropped."""
    from test.helpers.photos import gps, panorama, write_photo, xmp
    tags = gps(47.0, 8.5, GPSImgDirectionRef='T', GPSImgDirection=10.5,
               GPSDateStamp='2026:05:01', GPSTimeStamp=(10, 0, 1.5))
    whole = xmp(PoseHeadingDegrees=350, PosePitchDegrees=2, PoseRollDegrees=-1)
    cropped = xmp(FullPanoWidthPixels=64, FullPanoHeightPixels=32, CroppedAreaImageWidthPixels=64,
                  CroppedAreaImageHeightPixels=16, CroppedAreaTopPixels=8)
    return [written(lambda path: write_photo(path, pixels, tags, packet=packet), 'a.jpg')
            for pixels, packet in ((panorama(32), whole), (panorama(32)[8:24], cropped))]


@lru_cache
def _folder_of_photos() -> tempfile.TemporaryDirectory:
    folder = tempfile.TemporaryDirectory()
    (Path(folder.name) / 'a.jpg').write_bytes(photos()[0])
    return folder


def use_poses(path: Path) -> None:
    """Read a table of poses, and cut its images into drives."""
    from fg2_ros.drives.tables.photos import read_photos
    from fg2_ros.drives.tables.sequences import drives_of, heading_remark
    from fg2_ros.drives.tables.settings import TableSettings
    settings = TableSettings(
        images=Path(_folder_of_photos().name), heading='compass', sigma_m=1.0, sigma_deg=2.0)
    usable, left_out = read_photos(path, settings)
    for each in left_out:
        require_sentence(ValueError(each.detail))
    for drive in drives_of(usable):
        heading_remark(drive.cameras)


def use_photo(path: Path) -> None:
    """Read what an image says of itself, and make a level panorama of it."""
    from fg2_ros.cameras.settings import CameraSettings
    from fg2_ros.drives.tables.panoramas import level_panorama
    from fg2_ros.drives.tables.photo_metadata import read_photo_facts
    from fg2_ros.drives.tables.photos import PosedPhoto
    facts = read_photo_facts(path)
    level_panorama(PosedPhoto(
        path.name, path, 'way', *PLACE, 0.0, facts.stated.pitch_deg or 0.0,
        facts.stated.roll_deg or 0.0, None, 1.0, 0.1, facts.elevations_deg), CameraSettings(), 64)


CATALOGUE = b"""orthos:
  kind: xyz
  url: https://tiles.example/{s}/{z}/{x}/{y}.png?key={key}
  attribution: Somebody
  terms: 'Free: https://tiles.example/terms'
  offline_allowed: true
  machine_interpretation_allowed: true
  vintage: '2025'
  tile_px: 256
  min_zoom: 3
  max_zoom: 20
  resolution_m: 0.2
  bounds: [5.9, 45.8, 10.5, 47.9]
  subdomains: [a, b]
  key_env: SOME_KEY
  placeholders: ['e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855']
field:
  kind: file
  path: field.mbtiles
  attribution: Ours
  terms: ours
  offline_allowed: true
  machine_interpretation_allowed: true
  vintage: ''
"""


def use_catalogue(path: Path) -> None:
    """Choose each source, and address a tile of it."""
    from fg2_ros.imagery.catalogue import choose_sources, load_catalogue
    from fg2_ros.imagery.tiles.address import TileId

    def addressed(name: str):
        source, = choose_sources(name, path)
        if source.url:
            tiles = source.tile_source('key')
            tiles.covers(TileId(ZOOM, 137259, 91896))
            tiles.url(TileId(ZOOM, 137259, 91896))

    attempts(*(partial(addressed, name) for name in load_catalogue(path)))


OPTIONS = b"""out: run
steps: 10
rate: 1e-3
cities: 0-3
batch: 8
render_only: false
"""


def parameters() -> list[bytes]:
    """Return all parameters of the node as YAML."""
    from fg2_ros.ros.node_settings import NodeSettings
    from fg2_ros.settings import settings_of
    import yaml
    values = {name: list(value) if isinstance(value, tuple) else
              value if isinstance(value, (int, float, str)) else str(value)
              for name, (_, value) in settings_of(NodeSettings()).items()}
    return [yaml.safe_dump(values).encode()]


def use_parameters(path: Path) -> None:
    """Convert and check them as the node does."""
    from fg2_ros.ros.node_settings import NodeSettings
    from fg2_ros.settings import checked, read_yaml, settings_of, with_values
    known = settings_of(NodeSettings())
    values = {name: value for name, value in read_yaml(path).items() if name in known}
    with_values(NodeSettings(), checked(
        values, {name: declared for name, (declared, _) in known.items()}))


def use_options(path: Path) -> None:
    """Give them to a command."""
    from fg2_ros.commands.options import add_options
    from fg2_ros.training.simulated.settings import SimulatedRun
    parser = argparse.ArgumentParser()
    add_options(parser, lambda *parts: 0, SimulatedRun)
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            args = parser.parse_args(['--config', str(path)])
            args.run(args)
    except SystemExit as end:
        if end.code == 2:
            raise ValueError(said.getvalue()) from None
        raise


# Networks --------------------------------------------------------------------------------------


def weights() -> list[bytes]:
    """Return a small weights file with a calibration."""
    from test.helpers.tiny_run import CONFIG

    from fg2_ros.network import FG2Network
    from fg2_ros.network.weights import save_weights
    from fg2_ros.tracker.settings import Calibration
    return [written(lambda path: save_weights(FG2Network(CONFIG), path, {
        'trained_on': 'simulation', 'tracker': Calibration().to_dict(), 'seeds': [0, 9]}))]


def use_weights(path: Path) -> None:
    """Load a localizer, ask which imagery it wants, and let its network match two images."""
    from fg2_ros.localizer import Localizer
    from fg2_ros.network.weights import load_network, read_metadata
    from fg2_ros.prefetch.settings import patch_of_weights
    import torch
    attempts(lambda: read_metadata(path), lambda: patch_of_weights(path))
    localizer = Localizer.load(path, device='cpu')
    network = load_network(path)
    if network.config.camera == 'panorama' and max(network.config.ground_image_hw) < 500:
        with torch.inference_mode():
            network(torch.rand(1, 3, *network.config.ground_image_hw),
                    torch.rand(1, 3, *network.config.aerial_image_hw))
    assert localizer.config == network.config


def checkpoints() -> list[bytes]:
    """Return checkpoints of today's and of the old format, with what trainers put beside them."""
    import numpy as np
    import torch
    tensors = {'module.a.weight': torch.arange(12.0).reshape(3, 4), 'module.a.bias': torch.ones(3)}
    content = {'state_dict': tensors, 'epoch': 7, 'best': np.float64(0.5), 'history': np.ones(3),
               'optimizer': {'state': {0: {'step': torch.tensor(1.0)}}, 'lr': 0.1}}
    return [written(lambda path: torch.save(
        each, path, _use_new_zipfile_serialization=archive))
        for each in (tensors, content) for archive in (True, False)]


def use_checkpoint(path: Path) -> None:
    """Read the tensors as the conversion does."""
    from fg2_ros.published.files import read_state_dict
    import torch
    for tensor in read_state_dict(path).values():
        if tensor.numel() < 1e6:
            torch.isfinite(tensor).all()


# Servers ---------------------------------------------------------------------------------------


def answers() -> list[bytes]:
    """Return what a server answers that has a tile."""
    return [formats.answer('200 OK', {'Content-Type': 'image/png', 'Cache-Control': 'no-cache'},
                           tile) for tile in list(_tiles().values())[:2]]


def use_answer(path: Path) -> None:
    """Ask a server for a patch that answers each question so."""
    from test.helpers.http_stub import HttpStub, quick_http, Reply

    from fg2_ros.imagery.server.opening import open_server
    answer = path.read_bytes()
    with HttpStub(lambda path, headers: Reply(take_over=lambda peer: _sent(peer, answer))) as stub:
        http = quick_http(connect_timeout_s=1.0, read_timeout_s=0.3, total_timeout_s=1.0)
        with closing(open_server(
                stub.template, path.with_suffix('.mbtiles'), http=http, max_zoom=ZOOM)) as imagery:
            attempts(lambda: imagery.patch(_view(), wait_s=1.0))
            imagery.status()


def _sent(peer, answer: bytes) -> None:
    peer.sendall(answer)
    peer.shutdown(1)


def zip_changed(rng: Random, data: bytes) -> bytes:
    """Change a KMZ in its bytes, or the KML in it."""
    if rng.random() < 0.5:
        return mutated_bytes(rng, data)
    return _kmz_bomb() if rng.random() < 0.05 else kmz(formats.xml_changed(rng, KML))


@lru_cache
def _kmz_bomb() -> bytes:
    return kmz(KML + bytes(300_000_000))


def kmz(kml: bytes = KML) -> bytes:
    """Return a KML that is packed."""
    import zipfile
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr('doc.kml', kml)
    return file.getvalue()


def sequence_changed(rng: Random, data: bytes) -> bytes:
    """Return GeoJSON, changed, one document a line or after record separators."""
    parts = [formats.json_changed(rng, data) if rng.random() < 0.5 else data
             for _ in range(rng.choice((2, 3)))]
    separator = rng.choice((b'\n', b'\r\n', b'\x1e', b'\n\x1e', b' ', extreme_text(rng).encode(
        'utf-8', 'replace')[:50]))
    return separator.join(parts)


KINDS = {
    'mcap': Kind('.mcap', lambda: bags('MCAP'), formats.mcap_changed, use_bag),
    'db3': Kind('.db3', lambda: bags('SQLITE3'), formats.sqlite_changed, use_bag),
    'mbtiles': Kind('.mbtiles', mbtiles, formats.sqlite_changed, use_imagery),
    'pmtiles': Kind('.pmtiles', pmtiles, formats.pmtiles_changed, use_imagery),
    'geotiff': Kind('.tif', geotiffs, formats.tiff_changed, use_imagery),
    'gpx': Kind('.gpx', lambda: [GPX], formats.xml_changed, use_route),
    'kml': Kind('.kml', lambda: [KML], formats.xml_changed, use_route),
    'kmz': Kind('.kmz', lambda: [kmz()], zip_changed, use_route),
    'geojson': Kind('.geojson', lambda: [GEOJSON], formats.json_changed, use_route),
    'geojsonseq': Kind('.geojsonl', lambda: [GEOJSON], sequence_changed, use_route),
    'poses': Kind('.csv', lambda: [POSES], mutated_text, use_poses),
    'poses in JSON': Kind('.json', lambda: [POSES_JSON], formats.json_changed, use_poses),
    'photo': Kind('.jpg', photos, mutated_bytes, use_photo),
    'catalogue': Kind('.yaml', lambda: [CATALOGUE], formats.yaml_changed, use_catalogue),
    'parameters': Kind('.yaml', parameters, formats.yaml_changed, use_parameters),
    'options': Kind('.yaml', lambda: [OPTIONS], formats.yaml_changed, use_options),
    'weights': Kind('.safetensors', weights, formats.safetensors_changed, use_weights),
    'checkpoint': Kind('.pt', checkpoints, formats.checkpoint_changed, use_checkpoint),
    'tile answer': Kind('.http', answers, formats.answer_changed, use_answer)}
