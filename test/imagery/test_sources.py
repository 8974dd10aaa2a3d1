"""URL templates: what is accepted, what is asked for, what is kept secret."""

from fg2_ros.imagery.sources import TileId, TileSource
import pytest

PLAIN = 'https://tiles.example.org/o/{z}/{x}/{y}.jpg'


def test_url_of_a_tile():
    assert TileSource(PLAIN).url(TileId(18, 5, 7)) == 'https://tiles.example.org/o/18/5/7.jpg'


def test_the_key_is_put_into_its_place_and_quoted():
    source = TileSource('https://h/{z}/{x}/{y}?k={key}', key='a b&c')
    assert source.url(TileId(1, 0, 1)) == 'https://h/1/0/1?k=a%20b%26c'


def test_the_name_is_the_host_unless_given():
    assert TileSource('http://user:word@h:81/{z}/{x}/{y}').name == 'h:81'
    assert TileSource(PLAIN, name='Orthos').name == 'Orthos'


def test_what_is_shown_has_no_secrets():
    source = TileSource(
        'https://user:word@h/{z}/{x}/{y}?layer=ortho&token=abcdef&k={key}', key='ghijkl')
    assert source.public_template == 'https://h/{z}/{x}/{y}?layer=ortho&token=***&k={key}'
    assert {'abcdef', 'ghijkl', 'word'} <= set(source.secrets())
    assert not any(secret in repr(source) for secret in source.secrets())


@pytest.mark.parametrize('template, options, sentence', [
    ('file:///{z}/{x}/{y}', {}, 'starts with http'),
    ('https:///{z}/{x}/{y}', {}, 'names a host'),
    ('https://h/{z}/{x}', {}, 'needs {z}, {x} and {y}'),
    ('https://h/{z}/{x}/{y}/{banana}', {}, 'banana'),
    ('https://h/{z}/{x}/{y', {}, 'braces'),
    ('https://h/{z}/{x}/{y}?k={key}', {}, 'wants an API key'),
    (PLAIN, {'tile_px': 300}, '256 or 512'),
    (PLAIN, {'min_zoom': 5, 'max_zoom': 4}, 'no range')])
def test_unusable_sources_are_refused_with_a_sentence(template, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        TileSource(template, **options)
