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
"""Asking servers what they have: every kind, what cannot be used, and documents that attack."""

import json
from test.helpers.asking import ask_until, is_patch
from test.helpers.http_stub import GREY_TILE, quick_http, Reply

from fg2_ros.commands import main
from fg2_ros.imagery import open_imagery as open_named
from fg2_ros.imagery.catalogue import load_catalogue
from fg2_ros.imagery.discovery.adding import (
    AddedSource, chosen_layer, entry_of, layers_at, write_entry)
from fg2_ros.imagery.discovery.documents import parsed_xml
from fg2_ros.imagery.tiles.address import TileId, TileSource
import pytest

SCALE = 559082264.0287178  # of zoom 0 with tiles of 256 px
TILE = TileId(18, 137261, 92203)
BOX = '946137.536114,5941908.830776,946290.410170,5942061.704833'


def matrix_set(name: str, crs: str, naming=str, zooms=range(19), tile_px=256) -> str:
    matrices = ''.join(
        f'<TileMatrix><ows:Identifier>{naming(zoom)}</ows:Identifier><ScaleDenominator>'
        f'{SCALE * 256 / tile_px / 2 ** zoom}</ScaleDenominator><TopLeftCorner>-20037508.3428 '
        f'20037508.3428</TopLeftCorner><TileWidth>{tile_px}</TileWidth></TileMatrix>'
        for zoom in zooms)
    return (f'<TileMatrixSet><ows:Identifier>{name}</ows:Identifier><ows:SupportedCRS>{crs}'
            f'</ows:SupportedCRS>{matrices}</TileMatrixSet>')


def wmts(sets: str, links: list[str], resource: str = '', get: str = '') -> bytes:
    linked = ''.join(f'<TileMatrixSetLink><TileMatrixSet>{link}</TileMatrixSet>'
                     '</TileMatrixSetLink>' for link in links)
    operation = (f'<ows:OperationsMetadata><ows:Operation name="GetTile"><ows:DCP><ows:HTTP>'
                 f'<ows:Get xlink:href="{get}"/></ows:HTTP></ows:DCP></ows:Operation>'
                 '</ows:OperationsMetadata>') if get else ''
    return f"""<?xml version="1.0" encoding="UTF-8"?>
        <Capabilities xmlns="http://www.opengis.net/wmts/1.0" version="1.0.0"
         xmlns:ows="http://www.opengis.net/ows/1.1" xmlns:xlink="http://www.w3.org/1999/xlink">
        <ows:ServiceIdentification><ows:AccessConstraints>CC BY 4.0</ows:AccessConstraints>
        </ows:ServiceIdentification><ows:ServiceProvider><ows:ProviderName>The Survey
        </ows:ProviderName></ows:ServiceProvider>{operation}<Contents><Layer>
        <ows:Title>Orthos</ows:Title><ows:Identifier>ortho</ows:Identifier>
        <ows:WGS84BoundingBox><ows:LowerCorner>8.0 46.5</ows:LowerCorner>
        <ows:UpperCorner>9.0 47.5</ows:UpperCorner></ows:WGS84BoundingBox>
        <Style isDefault="true"><ows:Identifier>normal</ows:Identifier></Style>
        <Format>image/png</Format><Format>image/jpeg</Format>{linked}{resource}</Layer>
        {sets}</Contents></Capabilities>""".encode()


def wms(version: str, system: str, href: str, systems: str) -> bytes:
    box = ('<EX_GeographicBoundingBox><westBoundLongitude>8</westBoundLongitude>'
           '<eastBoundLongitude>9</eastBoundLongitude><southBoundLatitude>46.5'
           '</southBoundLatitude><northBoundLatitude>47.5</northBoundLatitude>'
           '</EX_GeographicBoundingBox>' if version == '1.3.0' else
           '<LatLonBoundingBox minx="8" miny="46.5" maxx="9" maxy="47.5"/>')
    root, doctype = ('WMS_Capabilities', '') if version == '1.3.0' else (
        'WMT_MS_Capabilities', '<!DOCTYPE WMT_MS_Capabilities SYSTEM "http://localhost:1/x.dtd" '
        '[<!ELEMENT VendorSpecificCapabilities EMPTY>]>')
    return f"""<?xml version="1.0"?>{doctype}<{root} version="{version}"
        xmlns:xlink="http://www.w3.org/1999/xlink"><Service><Fees>none</Fees></Service>
        <Capability><Request><GetMap><Format>image/jpeg</Format><DCPType><HTTP><Get>
        <OnlineResource xlink:href="{href}"/></Get></HTTP></DCPType></GetMap></Request>
        <Layer><{system}>{systems}</{system}>{box}<Attribution><Title>The Survey</Title>
        </Attribution><Layer><Name>ortho</Name><Title>Orthos</Title></Layer></Layer></Capability>
        </{root}>""".encode()


def described(serve, body, kind='application/xml'):
    """Return a server that describes itself, and has a grey tile everywhere else."""
    def reply(path, headers):
        if 'describe' in path or 'GetCapabilities' in path or 'f=json' in path:
            made = body(server.url) if callable(body) else body
            return Reply(body=made if isinstance(made, bytes) else json.dumps(made).encode(),
                         headers={'Content-Type': kind})
        return Reply(body=GREY_TILE)

    server = serve(reply)
    return server


def rest(url: str) -> str:
    return ('<ResourceURL format="image/jpeg" resourceType="tile" template="' + url
            + '/{Style}/{Time}/{TileMatrixSet}/{TileMatrix}/{TileRow}/{TileCol}.jpg"/>'
              '<Dimension><ows:Identifier>Time</ows:Identifier><Default>2024</Default>'
              '</Dimension>')


MERCATOR_SET = matrix_set('GM', 'urn:ogc:def:crs:EPSG::3857')
NATIONAL_SET = matrix_set('LV95', 'urn:ogc:def:crs:EPSG::2056')
ARCGIS_TILES = {
    'currentVersion': 10.9, 'mapName': 'Orthos', 'copyrightText': 'The <b>Survey</b>',
    'fullExtent': {'xmin': 890555.9, 'ymin': 5860000, 'xmax': 1001875.4, 'ymax': 6020000,
                   'spatialReference': {'wkid': 102100, 'latestWkid': 3857}},
    'tileInfo': {'rows': 256, 'spatialReference': {'wkid': 102100}, 'lods': [
        {'level': zoom, 'resolution': 156543.03392804097 / 2 ** zoom} for zoom in range(19)]}}
ARCGIS_PICTURES = {'currentVersion': 10.9, 'name': 'Orthos', 'copyrightText': 'The Survey',
                   'pixelSizeX': 0.3, 'extent': ARCGIS_TILES['fullExtent']}
TILEJSON = {'tilejson': '2.2.0', 'name': 'Orthos', 'attribution': '<a>The Survey</a>',
            'minzoom': 3, 'maxzoom': 18, 'bounds': [8.0, 46.5, 9.0, 47.5]}
SERVICES = {
    'WMTS, REST': ('/describe.xml', lambda url: wmts(
        NATIONAL_SET + MERCATOR_SET, ['LV95', 'GM'], rest(url)),
        '/normal/2024/GM/18/92203/137261.jpg'),
    'WMTS, GetTile': ('/wmts', lambda url: wmts(
        matrix_set('GM', 'EPSG:900913', 'EPSG:900913:{}'.format), ['GM'], get=f'{url}/kvp?map=a'),
        '/kvp?map=a&SERVICE=WMTS&REQUEST=GetTile&VERSION=1.0.0&LAYER=ortho&STYLE=normal&FORMAT='
        'image/jpeg&TILEMATRIXSET=GM&TILEMATRIX=EPSG:900913:18&TILEROW=92203&TILECOL=137261'),
    'WMTS, two digits': ('/describe', lambda url: wmts(
        matrix_set('GM', 'EPSG:3857', '{:02}'.format), ['GM'], rest(url)),
        '/normal/2024/GM/18/92203/137261.jpg'),
    'WMS 1.3.0': ('/wms?', lambda url: wms('1.3.0', 'CRS', f'{url}/draw?', 'EPSG:3857'),
                  '/draw?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&LAYERS=ortho&STYLES=&CRS='
                  'EPSG:3857&BBOX='),
    'WMS 1.1.1': ('/wms', lambda url: wms(
        '1.1.1', 'SRS', f'{url}/draw', 'EPSG:4326 EPSG:900913'),
        '/draw?SERVICE=WMS&VERSION=1.1.1&REQUEST=GetMap&LAYERS=ortho&STYLES=&SRS=EPSG:900913&'),
    'TileJSON': ('/describe.json', lambda url: {
        **TILEJSON, 'tiles': [f'{url}/{{z}}/{{x}}/{{y}}.png']}, '/18/137261/92203.png'),
    'TileJSON, TMS': ('/describe', lambda url: {
        **TILEJSON, 'scheme': 'tms', 'tiles': ['/t/{z}/{x}/{y}.png']},
        f'/t/18/137261/{2 ** 18 - 1 - 92203}.png'),
    'ArcGIS tiles': ('/rest/services/a/MapServer', ARCGIS_TILES,
                     '/rest/services/a/MapServer/tile/18/92203/137261'),
    'ArcGIS export': ('/rest/services/a/MapServer/?f=html', ARCGIS_PICTURES,
                      '/rest/services/a/MapServer/export?bbox='),
    'ArcGIS exportImage': ('/rest/services/a/ImageServer', ARCGIS_PICTURES,
                           '/rest/services/a/ImageServer/exportImage?bbox='),
}


@pytest.mark.parametrize('path, body, asked', SERVICES.values(), ids=SERVICES)
def test_what_a_server_says_becomes_imagery(path, body, asked, serve, tmp_path):
    server, catalogue = described(serve, body), tmp_path / 'mine' / 'sources.yaml'
    layer = chosen_layer(layers_at(server.url + path, quick_http()), '')
    assert layer.title == 'Orthos' and layer.max_zoom >= 18
    write_entry(entry_of(layer, server.url + path, 'mine'), catalogue)
    source = load_catalogue(catalogue)['mine']
    assert source.attribution == 'The Survey' and not source.offline_allowed
    assert source.bounds == pytest.approx((8.0, 46.5, 9.0, 47.5), abs=0.05)
    assert source.tile_source().url(TILE).startswith(server.url + asked)
    imagery = open_named('mine', catalogue, http=quick_http())
    assert is_patch(ask_until(imagery, is_patch))
    assert any(each.startswith(asked.partition('?')[0][:20]) for each in server.paths)
    imagery.close()


@pytest.mark.parametrize('body, problem', [
    (wmts(NATIONAL_SET, ['LV95']), 'its tiles are in EPSG:2056, and only Web Mercator'),
    (wmts(matrix_set('GM', 'EPSG:3857', lambda zoom: zoom + 3), ['GM']), 'only Web Mercator'),
    (wms('1.3.0', 'CRS', 'http://h', 'EPSG:2056'), 'it is in EPSG:2056, and only Web Mercator'),
    ({**TILEJSON, 'tiles': ['http://h/{z}/{x}/{y}.pbf'], 'format': 'pbf'}, 'vector tiles'),
    (b'<html><body>Welcome</body></html>', 'says nothing that can be understood'),
    (b'{"tiles": [{"a": 1}]}', 'says nothing that can be understood'),
    (b'[' * 100_000, 'says nothing that can be understood'), (b'', 'says nothing'),
    ({'error': {'code': 499, 'message': 'Token Required'}}, 'says nothing')])
def test_what_cannot_be_used_is_said_before_the_drive(body, problem, serve):
    server = described(serve, body)
    with pytest.raises(ValueError, match=problem):
        chosen_layer(layers_at(f'{server.url}/describe', quick_http()), '')


def test_of_several_layers_one_has_to_be_named(serve):
    two = wms('1.3.0', 'CRS', 'http://h/', 'EPSG:3857').replace(
        b'</Layer></Layer>', b'</Layer><Layer><Name>ortho_2019</Name></Layer></Layer>')
    layers = layers_at(described(serve, two).url + '/wms', quick_http())
    with pytest.raises(ValueError, match='with --layer: ortho, ortho_2019'):
        chosen_layer(layers, '')
    assert chosen_layer(layers, 'ortho_2019').name == 'ortho_2019'
    with pytest.raises(ValueError, match="no layer 'orto'; there are ortho"):
        chosen_layer(layers, 'orto')


LAUGHS = b'<!DOCTYPE a [<!ENTITY a "ha">' + b''.join(
    b'<!ENTITY %c "%b">' % (98 + i, b'&%c;' % (97 + i) * 10) for i in range(9)) + b']><a>&j;</a>'


@pytest.mark.parametrize('attack', [
    LAUGHS, b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><Capabilities>&x;'
    b'</Capabilities>', b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:1/"> %x;]><a/>',
    b'<a>' * 1000, b'<Capabilities>' + b'<b/>' * 10_001 + b'</Capabilities>'],
    ids=['laughs', 'file', 'parameter', 'deep', 'many'])
def test_documents_that_attack_are_refused(attack, monkeypatch):
    monkeypatch.setattr('fg2_ros.imagery.discovery.documents._MOST_ELEMENTS', 10_000)
    with pytest.raises(ValueError, match='the document'):
        parsed_xml(attack)


@pytest.mark.parametrize('reply, problem', [
    (Reply(404), 'answered 404'), (Reply(401), 'answered 401'),
    (Reply(302, headers={'Location': 'file:///etc/passwd'}), 'redirected to a file address'),
    (Reply(headers={'Content-Length': str(10 ** 10)}), 'sent more than 32000000 bytes')])
def test_a_server_that_does_not_answer_is_named_without_the_key(reply, problem, serve, capsys):
    server = serve(lambda path, headers: reply)
    host = server.url.partition('//')[2]
    assert main(['sources', 'add', f'{server.url}/describe?key=S3CRETVALUE&request=x']) == 1
    said = capsys.readouterr().err
    assert f'fg2 sources: {host} {problem}' in said and 'S3CRET' not in said


def test_a_key_in_the_address_stays_out_of_the_catalogue(serve, tmp_path, monkeypatch):
    server = described(serve, lambda url: {
        **TILEJSON, 'tiles': [f'{url}/{{z}}/{{x}}/{{y}}.png?key=S3CRETVALUE']})
    path, url = tmp_path / 'c.yaml', f'{server.url}/describe.json?key=S3CRETVALUE'
    write_entry(entry_of(chosen_layer(layers_at(url, quick_http()), ''), url, 'mine'), path)
    assert 'S3CRET' not in path.read_text()
    source = load_catalogue(path)['mine']
    assert source.wants_key and source.key_env == 'FG2_IMAGERY_KEY'
    monkeypatch.setenv('FG2_IMAGERY_KEY', 'S3CRETVALUE')
    assert source.tile_source().url(TILE).endswith('.png?key=S3CRETVALUE')


def test_the_command_writes_into_the_users_own_catalogue(serve, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    server = described(serve, SERVICES['WMS 1.3.0'][1])
    assert main(['sources', 'add', f'{server.url}/wms', '--name', 'ours', '--max-zoom', '19',
                 '--json', str(tmp_path / 'f.json')]) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / 'fg2_ros' / 'sources.yaml') in said and 'terms are yours to read' in said
    assert json.loads((tmp_path / 'f.json').read_text())['entry']['max_zoom'] == 19
    assert load_catalogue()['ours'].max_zoom == 19 and 'swissimage' in load_catalogue()
    assert main(['sources', 'add', f'{server.url}/wms', '--name', 'ours']) == 1
    assert 'has a source ours already' in capsys.readouterr().err
    assert main(['sources', '--at', '47.0,8.5']) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {'swissimage', 'ours'} <= set(listed) and 'nrw_dop' not in listed
    assert main(['sources', '--at=-47.0,-100.5']) == 1


def test_an_entry_that_cannot_be_used_leaves_the_catalogue_as_it_was(tmp_path):
    path = tmp_path / 'c.yaml'
    entry = {'kind': 'xyz', 'url': 'https://h/{z}/{x}/{y}', 'attribution': 'a', 'terms': 'b',
             'offline_allowed': False, 'machine_interpretation_allowed': True, 'vintage': '',
             'min_zoom': 0, 'max_zoom': 19}
    write_entry(AddedSource('good', entry), path)
    before = path.read_text()
    with pytest.raises(ValueError, match=f'{path}, source bad'):
        write_entry(AddedSource('bad', {**entry, 'url': 'https://h/{z}'}), path)
    assert path.read_text() == before and list(tmp_path.iterdir()) == [path]


# Templates as other programs write them --------------------------------------------------------

@pytest.mark.parametrize('template, url', [
    ('https://h/{zoom}/{x}/{y}', 'https://h/18/137261/92203'),
    ('https://h/${z}/${x}/${y}', 'https://h/18/137261/92203'),
    ('https://t{switch:1,2}.h/{z}/{x}/{-y}', 'https://t1.h/18/137261/169940'),
    ('https://h/{TileMatrixSet}/{TileMatrix}/{TileRow}/{TileCol}?{apikey}',
     'https://h/GoogleMapsCompatible/18/92203/137261?abc'),
    ('https://h/w?CRS={proj}&BBOX={bbox}&WIDTH={width}&HEIGHT={height}',
     f'https://h/w?CRS=EPSG:3857&BBOX={BOX}'),
    ('https://h/ImageServer/exportImage?bbox={bbox}&bboxSR=3857&imageSR=102100&size=256,256&'
     'f=image', f'https://h/ImageServer/exportImage?bbox={BOX}'),
    ('https://h/MapServer/export?bbox={bbox}&bboxSR=3857&imageSR=3857&size={width},{height}&'
     'f=image&format=png', f'https://h/MapServer/export?bbox={BOX}')])
def test_templates_of_other_programs_are_understood(template, url):
    source = TileSource(template, key='abc')
    assert source.url(TILE).startswith(url) and '{' not in source.name


@pytest.mark.parametrize('template, problem', [
    ('https://h/tiles.json', 'that of a service .*fg2 sources add'),
    ('https://h/wmts/1.0.0/WMTSCapabilities.xml', 'that of a service'),
    ('https://h/wmts?TILEMATRIXSET=EPSG:25832&TILEMATRIX={z}&TILEROW={y}&TILECOL={x}',
     'in the grid of EPSG:25832, which is not supported'),
    ('https://h/wmts/EPSG:28992/{z}/{x}/{y}.png', 'in the grid of EPSG:28992'),
    ('https://h/w?CRS=EPSG:25832&BBOX={bbox}&WIDTH=256&HEIGHT=256', 'must ask for CRS=EPSG:3857'),
    ('https://h/ImageServer/exportImage?bbox={bbox}&bboxSR=3857&size=256,256&f=image',
     'must ask for bboxSR=3857, imageSR=3857 and f=image'),
    ('https://h/MapServer/export?bbox={bbox}&bboxSR=3857&imageSR=3857&size=256,256',
     'and f=image')])
def test_templates_that_give_no_tiles_are_refused_before_the_drive(template, problem):
    with pytest.raises(ValueError, match=problem):
        TileSource(template)
