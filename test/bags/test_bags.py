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

"""Bags are read as far as they are whole, and what is wrong is said with what mends it."""

from pathlib import Path
import shutil
import sqlite3
import struct
from test.helpers import mcap_file as mcap
from test.helpers.paths import REAL_DATA

from backports import zstd
from fg2_ros.bags.bag import Bag
from fg2_ros.bags.compression import decompressed
from fg2_ros.simulation import bag_messages as msgs
from fg2_ros.simulation.bag_messages import TYPESTORE
import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

FIX = 'sensor_msgs/msg/NavSatFix'
STRING = 'std_msgs/msg/String'
COUNT = 40
BEGIN_NS = 1_700_000_000 * 10 ** 9
ROS1 = get_typestore(Stores.ROS1_NOETIC)
DEFINITION = TYPESTORE.generate_msgdef(FIX)[0]


def fix(index):
    """Return a fix that tells its index."""
    return msgs.nav_sat_fix(time_ns(index), 'gps', 47.0 + index / 1000, 8.0, 3.0)


def time_ns(index):
    return BEGIN_NS + index * 10 ** 8


def cdr(index):
    return bytes(TYPESTORE.serialize_cdr(fix(index), FIX))


def ros1(index):
    return bytes(ROS1.serialize_ros1(ROS1.types[FIX](**{
        name: getattr(fix(index), name) for name in (
            'status', 'latitude', 'longitude', 'altitude', 'position_covariance',
            'position_covariance_type')}, header=ROS1.types['std_msgs/msg/Header'](
                seq=index, stamp=fix(index).header.stamp, frame_id='gps')), FIX))


def indices(bag, topic='/fix'):
    """Return the indices that the messages on a topic tell."""
    return [round(1000 * (each.decoded().latitude - 47.0)) for each in bag.messages([topic])]


def read(path):
    """Return the indices, the damage and the notes of a bag."""
    with Bag(path) as bag:
        found = indices(bag)
        assert bag.count('/fix') == len(found)
        return found, bag.damage, bag.notes


def written(path, plugin=StoragePlugin.MCAP, numbers=range(COUNT), compression=None):
    """Write a rosbag2 folder; return its only file."""
    writer = Writer(path, version=9, storage_plugin=plugin)
    if compression is not None:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection('/fix', FIX, typestore=TYPESTORE)
        for index in numbers:
            writer.write(connection, time_ns(index), cdr(index))
    return next(each for each in path.iterdir() if each.name != 'metadata.yaml')


def chunks(compression='', per_chunk=8, index=False):
    """Return chunks of fixes; the first declares topic and type."""
    data = b''
    for begin in range(0, COUNT, per_chunk):
        numbers = range(begin, begin + per_chunk)
        declared = mcap.schema(1, FIX, 'ros2msg', DEFINITION) + mcap.channel(1, 1, '/fix')
        records = b''.join(mcap.message(1, time_ns(each), cdr(each)) for each in numbers)
        data += mcap.chunk((declared if not begin else b'') + records, time_ns(begin),
                           time_ns(begin + per_chunk - 1), compression)
    return data


# MCAP ------------------------------------------------------------------------------------------

@pytest.mark.parametrize('compression', ['', 'lz4', 'zstd'])
@pytest.mark.parametrize('profile', ['ros2', '', 'ros1', 'x-other'])
def test_neither_profile_nor_summary_nor_index_is_needed(tmp_path, profile, compression):
    path = tmp_path / 'drive.mcap'
    path.write_bytes(mcap.header(profile) + chunks(compression) + mcap.footer())
    assert read(path) == (list(range(COUNT)), '', [])


def test_messages_need_no_chunks_and_no_order(tmp_path):
    path = tmp_path / 'drive.mcap'
    numbers = np.random.default_rng(0).permutation(COUNT)
    path.write_bytes(
        mcap.header() + mcap.schema(1, FIX, 'ros2msg', DEFINITION) + mcap.channel(1, 1, '/fix')
        + b''.join(mcap.message(1, time_ns(each), cdr(each)) for each in numbers)
        + mcap.footer())
    assert read(path)[0] == list(range(COUNT))


@pytest.mark.parametrize('encoding, kind, definition', [
    ('json', 'jsonschema', '{"type": "object"}'), ('protobuf', 'protobuf', b'\x0a\xff\x00'),
    ('cbor', '', ''), ('flatbuffer', 'flatbuffer', b'\x00'), ('', '', '')])
def test_topics_in_other_encodings_are_left_out_and_named(tmp_path, encoding, kind, definition):
    path = tmp_path / 'drive.mcap'
    foreign = (mcap.schema(9, 'thing.Status', kind, definition)
               + mcap.channel(9, 9, '/status', encoding) + mcap.message(9, BEGIN_NS, b'{}'))
    path.write_bytes(mcap.header() + foreign + chunks() + foreign + mcap.footer())
    with Bag(path) as bag:
        assert indices(bag) == list(range(COUNT)) and '/status' not in bag.types
        assert (encoding or 'unknown') in bag.left_out['/status']
        assert not list(bag.messages(['/status']))


@pytest.mark.parametrize('definition', [
    'int32 a\n---\nint32 b', '', '\x00\xff', 'nonsense ((', FIX])
def test_a_definition_that_cannot_be_read_is_in_nobodys_way(tmp_path, definition):
    """A service's type has two parts; the types that are needed are known anyway."""
    path = tmp_path / 'drive.mcap'
    odd = (mcap.schema(9, 'pkg/srv/Do_Event', 'ros2msg', definition)
           + mcap.channel(9, 9, '/do/_service_event') + mcap.message(9, BEGIN_NS, b'\0\1\0\0')
           + mcap.schema(8, FIX, 'ros2msg', definition) + mcap.channel(8, 8, '/second')
           + mcap.message(8, BEGIN_NS, cdr(5)))
    path.write_bytes(mcap.header() + odd + chunks() + mcap.footer())
    with Bag(path) as bag:
        assert indices(bag) == list(range(COUNT)) and indices(bag, '/second') == [5]
        with pytest.raises(ValueError, match='a message on /do/_service_event is damaged'):
            next(bag.messages(['/do/_service_event'])).decoded()


def test_definitions_may_be_idl_and_messages_packed_one_by_one(tmp_path):
    text = 'module std_msgs { module msg { struct String { string data; }; }; };'
    message = TYPESTORE.types[STRING](data='hello')
    data = bytes(TYPESTORE.serialize_cdr(message, STRING))
    for definition in (text, f'{"=" * 80}\nIDL: {STRING}\n{text}'):
        path = tmp_path / 'drive.mcap'
        path.write_bytes(
            mcap.header() + mcap.schema(1, STRING, 'ros2idl', definition)
            + mcap.channel(1, 1, '/said') + mcap.message(1, BEGIN_NS, data)
            + mcap.message(1, BEGIN_NS + 1, zstd.compress(data)) + mcap.footer())
        with Bag(path) as bag:
            assert [each.decoded().data for each in bag.messages(['/said'])] == ['hello'] * 2


def test_what_mcap_convert_makes_of_ros_1_is_read(tmp_path):
    path = tmp_path / 'drive.mcap'
    definition = ROS1.generate_msgdef(FIX)[0]
    path.write_bytes(
        mcap.header('ros1') + mcap.schema(1, 'sensor_msgs/NavSatFix', 'ros1msg', definition)
        + mcap.channel(1, 1, '/fix', 'ros1')
        + b''.join(mcap.message(1, time_ns(each), ros1(each)) for each in range(COUNT))
        + mcap.footer())
    assert read(path)[0] == list(range(COUNT))


def read_broken_off(path, whole, lengths):
    """Yield (length, messages, damage) of a file that ends after each length: ever more of it."""
    before = 0
    for length in lengths:
        path.write_bytes(whole[:length])
        try:
            found, damage, _ = read(path)
        except ValueError as error:
            assert not before and 'is not a readable bag' in str(error)
            continue
        assert found == list(range(len(found))) and len(found) >= before
        before = len(found)
        yield length, len(found), damage


@pytest.mark.parametrize('compression', ['', 'lz4', 'zstd'])
def test_a_file_that_breaks_off_anywhere_is_read_up_to_there(tmp_path, compression):
    whole = mcap.header() + chunks(compression)
    path = tmp_path / 'drive.mcap'
    lengths = range(len(mcap.header()), len(whole), len(whole) // 60)
    count = 0
    for length, count, damage in read_broken_off(path, whole, lengths):
        assert f'of {length}' in damage and '`mcap recover drive.mcap' in damage
    assert count >= COUNT - 8


def test_zeros_after_a_power_loss_are_its_end(tmp_path):
    path = tmp_path / 'drive.mcap'
    path.write_bytes(mcap.header() + chunks() + bytes(5000))
    found, damage, _ = read(path)
    assert found == list(range(COUNT)) and 'breaks off or is damaged at byte' in damage


@pytest.mark.parametrize('broken', [
    mcap.chunk(b'abc', 0, 0, checksum=1), mcap.chunk(b'', 0, 0)[:9] + b'\xff' * 36,
    mcap.record(6, b'\xff' * 40), mcap.record(6, b''), mcap.record(7, b'\0' * 5),
    mcap.record(4, b'\xff' * 20), mcap.record(3, b''), mcap.record(0x99, b'unknown')])
def test_damage_in_the_middle_costs_only_itself(tmp_path, broken):
    path = tmp_path / 'drive.mcap'
    broken = mcap.record(broken[0], broken[9:])
    path.write_bytes(mcap.header() + chunks() + broken + mcap.message(1, time_ns(COUNT), cdr(
        COUNT)) + mcap.footer())
    assert read(path)[0] == list(range(COUNT + 1))


def test_a_chunk_that_grows_beyond_all_bounds_is_left_out(tmp_path):
    path = tmp_path / 'drive.mcap'
    bomb = bytearray(mcap.chunk(bytes(10 ** 6), 0, 0, 'zstd', checksum=0))
    struct.pack_into('<Q', bomb, 9 + 16, 5 * 10 ** 9)
    path.write_bytes(mcap.header() + chunks() + bytes(bomb) + mcap.footer())
    found, damage, _ = read(path)
    assert found == list(range(COUNT)) and 'a chunk of 5000000000 bytes' in damage
    with pytest.raises(ValueError, match='more than 1000 bytes'):
        decompressed(zstd.compress(bytes(10 ** 6)), 'zstd', limit=1000)


# Folders ---------------------------------------------------------------------------------------

@pytest.mark.parametrize('plugin', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize('metadata', [
    None, '', '\0' * 200, 'rosbag2_bagfile_information: 3', 'rosbag2_bagfile_information:\n  ver',
    'rosbag2_bagfile_information: {relative_file_paths: [7]}', '[' * 5000], ids=range(7))
def test_a_folder_whose_metadata_was_never_written_is_read(tmp_path, plugin, metadata):
    folder = tmp_path / 'drive'
    written(folder, plugin)
    (folder / 'metadata.yaml').unlink()
    if metadata is not None:
        (folder / 'metadata.yaml').write_text(metadata)
    found, damage, notes = read(folder)
    assert found == list(range(COUNT)) and not damage
    assert len(notes) == 1 and f'`ros2 bag reindex {folder}`' in notes[0]
    assert 'metadata.yaml' in notes[0]


def split(folder, parts=11):
    """Write a bag of several files."""
    folder.mkdir()
    size = COUNT // parts
    names = []
    for part in range(parts):
        last = COUNT if part == parts - 1 else (part + 1) * size
        path = written(folder.parent / f'part{part}', numbers=range(part * size, last))
        names.append(f'drive_{part}.mcap')
        shutil.move(path, folder / names[-1])
    (folder / 'metadata.yaml').write_text(
        'rosbag2_bagfile_information:\n  relative_file_paths:\n'
        + ''.join(f'    - {each}\n' for each in names))
    return folder


def test_files_of_a_split_bag_are_one_drive_also_if_one_is_missing(tmp_path):
    folder = split(tmp_path / 'drive')
    assert read(folder) == (list(range(COUNT)), '', [])
    (folder / 'drive_4.mcap').unlink()
    found, damage, notes = read(folder)
    assert found == [each for each in range(COUNT) if not 12 <= each < 15] and not damage
    assert notes == [f'drive_4.mcap of {folder} is missing: what was in it is left out']
    (folder / 'metadata.yaml').unlink()
    assert read(folder)[0] == found


def test_files_that_were_renamed_and_one_that_is_empty_cost_nothing_else(tmp_path):
    folder = split(tmp_path / 'drive')
    for each in folder.glob('*.mcap'):
        each.rename(folder / each.name.replace('drive', 'monday'))
    (folder / 'monday_11.mcap').write_bytes(b'')
    found, damage, notes = read(folder)
    assert found == list(range(COUNT)) and 'monday_11.mcap is not a readable bag' in damage
    assert len(notes) == 1 and 'drive_0.mcap' in notes[0]


def test_what_is_no_bag_gets_a_sentence(tmp_path):
    paths = {'empty.bag': b'', 'text.mcap': b'hello', 'old.bag': b'#ROSBAG V1.2\n',
             'half.db3': b'SQLite format 3\0' + bytes(30)}
    for name, data in paths.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=f'{name} is not a readable bag'):
            Bag(tmp_path / name)
    (tmp_path / 'folder').mkdir()
    with pytest.raises(ValueError, match='no file of .mcap, .db3'):
        Bag(tmp_path / 'folder')
    with pytest.raises(ValueError, match='there is no bag'):
        Bag(tmp_path / 'elsewhere')


def test_a_bag_without_messages_is_one(tmp_path):
    assert read(written(tmp_path / 'drive', numbers=())) == ([], '', [])


# SQLite ----------------------------------------------------------------------------------------

def test_compression_by_message_needs_no_metadata(tmp_path):
    path = written(tmp_path / 'drive', StoragePlugin.SQLITE3, compression=CompressionMode.MESSAGE)
    assert read(tmp_path / 'drive')[0] == list(range(COUNT))
    assert read(path) == (list(range(COUNT)), '', [])


@pytest.mark.parametrize('plugin', [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_compression_by_file_needs_no_metadata(tmp_path, plugin):
    path = written(tmp_path / 'drive', plugin, compression=CompressionMode.FILE)
    assert path.suffix == '.zstd'
    assert read(tmp_path / 'drive') == read(path) == (list(range(COUNT)), '', [])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=f'{path} is not a readable bag .its zstd data break off'):
        Bag(path)
    path = written(tmp_path / 'long', plugin, range(1500), compression=CompressionMode.FILE)
    path.write_bytes(path.read_bytes()[:-2000])
    with Bag(path) as bag:
        assert indices(bag) and f'{path}: its zstd data break off' in bag.damage


def copy_while_writing(path, to, mode):
    """Add fixes to a .db3, and copy what lies on the disk before that is done."""
    writer = sqlite3.connect(path)
    writer.execute(f'PRAGMA journal_mode = {mode}')
    writer.execute('PRAGMA wal_autocheckpoint = 0')
    writer.execute('PRAGMA cache_size = 1')
    for index in range(COUNT, COUNT + 400):
        writer.execute('INSERT INTO messages (topic_id, timestamp, data) VALUES (1, ?, ?)',
                       (time_ns(index), cdr(index)))
    if mode == 'WAL':
        writer.commit()
    to.mkdir()
    for each in path.parent.glob('*.db3*'):
        if not each.name.endswith('-shm'):
            shutil.copy(each, to)
    writer.rollback()
    writer.close()


@pytest.mark.parametrize('mode, count', [('DELETE', COUNT), ('WAL', COUNT + 400)])
def test_a_journal_that_was_left_is_heeded_and_nothing_written(tmp_path, mode, count):
    """Half a transaction is taken back; what was committed only to the journal is there."""
    path = written(tmp_path / 'drive', StoragePlugin.SQLITE3)
    copy_while_writing(path, tmp_path / 'cut', mode)
    before = {each: each.read_bytes() for each in (tmp_path / 'cut').iterdir()}
    assert len(before) == 2
    assert read(tmp_path / 'cut' / path.name)[0] == list(range(count))
    assert {each: each.read_bytes() for each in (tmp_path / 'cut').iterdir()} == before


def test_a_db3_that_breaks_off_is_read_where_it_is_whole(tmp_path):
    """Its pages lie in no order: what is left has gaps, but nothing is made up."""
    path = written(tmp_path / 'drive', StoragePlugin.SQLITE3, numbers=range(400))
    whole = path.read_bytes()
    counts = []
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(whole[:int(share * len(whole))])
        with Bag(path) as bag:
            found = indices(bag)
            assert '.recover | sqlite3 whole.db3' in bag.damage and str(path) in bag.damage
            assert len(found) <= bag.count('/fix') < 400
        assert found == sorted(set(found)) and set(found) <= set(range(400))
        counts.append(len(found))
    assert 0 < counts[0] < counts[1] < counts[2]


def test_a_view_is_no_table_of_messages(tmp_path):
    """It could yield for ever."""
    database = sqlite3.connect(tmp_path / 'drive.db3')
    database.executescript(
        'CREATE TABLE topics(id, name, type, serialization_format);'
        'CREATE VIEW messages AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)'
        " SELECT id, 1 AS topic_id, 0 AS timestamp, x'00' AS data FROM n;")
    database.close()
    with pytest.raises(ValueError, match='no tables of topics and messages'):
        Bag(tmp_path / 'drive.db3')


# ROS 1 -----------------------------------------------------------------------------------------

def ros1_bag(path, compression=None):
    writer = Ros1Writer(path)
    writer.chunk_threshold = 1500
    if compression is not None:
        writer.set_compression(compression)
    with writer:
        connection = writer.add_connection('/fix', FIX, typestore=ROS1)
        for index in range(COUNT):
            writer.write(connection, time_ns(index), ros1(index))
    return path


@pytest.mark.parametrize('compression', [None, *Ros1Writer.CompressionFormat])
def test_a_bag_of_ros_1_is_read(tmp_path, compression):
    assert read(ros1_bag(tmp_path / 'drive.bag', compression)) == (list(range(COUNT)), '', [])


def test_a_bag_of_ros_1_that_was_not_closed_is_read(tmp_path):
    """The recorder writes to .bag.active until then, and the place of the index is zero."""
    whole = bytearray(ros1_bag(tmp_path / 'drive.bag').read_bytes())
    at = whole.index(b'index_pos=') + len(b'index_pos=')
    index, = struct.unpack_from('<Q', whole, at)
    struct.pack_into('<Q', whole, at, 0)
    path = tmp_path / 'drive.bag.active'
    lengths = range(4200, index, (index - 4200) // 40)
    for _, _, damage in read_broken_off(path, whole, lengths):
        assert '`rosbag reindex drive.bag.active`' in damage
    path.write_bytes(whole[:index])
    assert read(path)[0] == list(range(COUNT))


def test_a_real_bag_of_ros_1():
    """Of robot_localization's own tests."""
    path = REAL_DATA / 'robot_localization_test1_husky_navsat.bag'
    if not path.exists():
        pytest.skip('the bag is not here')
    with Bag(path) as bag:
        assert bag.types['/fix'] == FIX and bag.count('/fix') == 989 and not bag.damage
        times = [each.time_ns for each in bag.messages(bag.types)]
        assert times == sorted(times) and len(times) == sum(map(bag.count, bag.types))
        places = np.array([(each.decoded().latitude, each.decoded().longitude)
                           for each in bag.messages(['/fix'])])
    assert np.ptp(places, axis=0).max() < 0.01


def test_files_of_any_ending_are_told_by_how_they_begin(tmp_path):
    path = written(tmp_path / 'drive')
    shutil.copy(path, tmp_path / 'drive.bin')
    assert read(Path(tmp_path / 'drive.bin'))[0] == list(range(COUNT))


@pytest.mark.parametrize('column', ['data', 'timestamp'])
def test_rows_of_a_database_that_are_no_messages_are_passed_over(tmp_path, column):
    """A number for the data must not become so many zeros."""
    path = written(tmp_path / 'bag', StoragePlugin.SQLITE3)
    with sqlite3.connect(path) as database:
        for row, value in ((3, 10 ** 12), (5, 'text'), (7, 0.5)):
            database.execute(f'UPDATE messages SET {column} = ? WHERE id = ?', (
                value if column == 'data' else str(value) + 'x', row))
    database.close()
    with Bag(path) as bag:
        assert indices(bag) == [each for each in range(COUNT) if each not in (2, 4, 6)]
        assert 'a message is none' in bag.damage
