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

"""Faults do what they say to a drive, and leave the rest of it alone."""

from dataclasses import replace
import re
from test.helpers.paths import ROOT

from fg2_ros.evaluation.drives import degraded_images, settings
from fg2_ros.evaluation.drives.faults import displaced, FAULTS, RenderedSources
from fg2_ros.evaluation.drives.rendered import DriveSpec, RenderedDrive, stream_of
from fg2_ros.evaluation.drives.retimed import with_stop
from fg2_ros.evaluation.drives.stream import CameraFrame
from fg2_ros.geometry.se2 import wrap_angle
from fg2_ros.imagery.patch import PatchView
from fg2_ros.tracker.inputs import Odometry
import numpy as np
import pytest


class PaintedDrive(RenderedDrive):
    """A drive whose images are painted, not rendered: their colour tells which they are."""

    def panorama(self, index: int) -> np.ndarray:
        """Return an image whose left column is white."""
        panorama = np.full((16, 32, 3), (self.spec.seed % 251, index, 90), np.uint8)
        panorama[:, 0] = 255
        return panorama

    def orthophoto(self) -> np.ndarray:
        """Return an image of one colour."""
        return np.full((480, 480, 3), self.spec.seed % 251, np.uint8)


@pytest.fixture(scope='module')
def around(tmp_path_factory):
    """Return two drives."""
    folder = tmp_path_factory.mktemp('drives')
    return RenderedSources(*(PaintedDrive(DriveSpec(seed, frames=24), folder) for seed in (3, 4)))


@pytest.fixture(scope='module')
def sound(around):
    """Return the stream of the first drive."""
    return stream_of(around.drive)


def pictures(stream):
    """Return all images in order."""
    return [shot.image.pixels() for shot in stream.shots]


def seen_from_above(stream):
    """Return the whole aerial image, a pixel of the patch for each of it."""
    return stream.imagery.patch(PatchView(stream.map_frame, (0.0, 0.0), 96.0, 480)).image


def test_events_come_in_the_order_of_time_and_images_after_what_has_their_stamp(sound):
    """What is told of a moment is told before its image."""
    events = list(sound.events())
    stamps = [event.stamp_ns for event in events]
    assert stamps == sorted(stamps)
    for before, after in zip(events, events[1:]):
        assert before.stamp_ns < after.stamp_ns or not isinstance(before.content, CameraFrame)
    assert sum(isinstance(event.content, CameraFrame) for event in events) == 24


def test_the_truth_is_where_the_camera_was_rendered(sound, around):
    """base_link and its mount lead to the camera, but for the tilt of the body."""
    for shot, camera in zip(sound.shots, around.drive.drive.cameras):
        place = shot.truth.compose(sound.base_from_camera)
        assert np.hypot(place.x - camera.east_m, place.y - camera.north_m) < 0.1
        assert wrap_angle(place.yaw - camera.yaw_rad) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize('name', FAULTS)
def test_every_fault_is_the_same_every_time_and_leaves_a_drive(name, sound, around):
    """Stamps increase, truth and images are there."""
    first, second = (FAULTS[name](sound, around) for _ in range(2))
    assert [event.stamp_ns for event in first.events()] == [
        event.stamp_ns for event in second.events()]
    assert np.array_equal(pictures(first), pictures(second))
    assert np.array_equal(seen_from_above(first), seen_from_above(second))
    times_s = [shot.time_s for shot in first.shots]
    assert np.all(np.diff(times_s) > 0)
    assert np.all(np.diff(first.odometry.time_s) > 0)
    assert first.odometry.time_s[-1] >= times_s[-1] - 0.021
    assert first.gnss.time_s[0] <= times_s[0] - 1


@pytest.mark.parametrize('name, degrees', [('yaw180', 180), ('yaw90', 90)])
def test_the_imu_is_off(name, degrees, sound, around):
    """By the angle that the fault's name says."""
    off = FAULTS[name](sound, around).heading.yaw_rad - sound.heading.yaw_rad
    assert np.allclose(np.degrees(np.abs(wrap_angle(off))), degrees)


def test_images_of_another_city_or_street(sound, around):
    """Of the other drive; or of this one, while the vehicle is on another."""
    elsewhere = FAULTS['other_city'](sound, around)
    assert np.array_equal(pictures(elsewhere)[5], around.other.panorama(5))
    assert elsewhere.shots[5].truth == sound.shots[5].truth
    street = FAULTS['other_street'](sound, around)
    assert np.array_equal(pictures(street)[5], around.drive.panorama(5))
    gaps_m = [np.hypot(a.truth.x - b.truth.x, a.truth.y - b.truth.y)
              for a in street.shots for b in sound.shots]
    assert min(gaps_m) > 10
    gnss = street.gnss.position_m[np.argmin(abs(street.gnss.time_s - street.shots[5].time_s))]
    assert np.hypot(*(gnss - street.shots[5].truth[:2])) < 20


def test_spoilt_panoramas(sound, around):
    """Mirrored, hidden, dark and turned images."""
    plain = pictures(sound)[2]
    assert np.array_equal(pictures(FAULTS['mirrored'](sound, around))[2], plain[:, ::-1])
    assert np.argmax(pictures(FAULTS['mount_180'](sound, around))[2][0, :, 0]) == 16
    hidden = (pictures(FAULTS['occluded'](sound, around))[2]
              == degraded_images.HIDDEN_RGB).all(axis=(0, 2))
    assert hidden.mean() == pytest.approx(0.7, abs=0.02)
    assert np.count_nonzero(np.diff(np.append(hidden, hidden[0]).astype(int))) == 2
    night = pictures(FAULTS['dark'](sound, around))[2]
    assert night.any() and night.mean() < 8


def test_the_aerial_image_is_stale_or_clouded(sound, around):
    """Other buildings stand beside the same streets; half is white."""
    stale = seen_from_above(FAULTS['stale'](sound, around))
    changed = (stale != seen_from_above(sound)).any(axis=-1)
    assert 0.05 < changed.mean() < 0.6
    assert (stale[changed] == around.other.orthophoto()[0, 0]).all()
    above = seen_from_above(FAULTS['clouds'](sound, around))
    white = (above == degraded_images.CLOUD_RGB).all(axis=-1)
    assert 0.3 < white.mean() < 0.5


def test_fixes_are_displaced(sound, around):
    """All by the same, and they claim what they are told to."""
    far = displaced(sound, around, 50.0, 25.0)
    off = far.gnss.position_m - sound.gnss.position_m
    known = np.isfinite(off[:, 0])
    assert np.allclose(np.hypot(*off[known].T), 50.0)
    assert np.ptp(off[known], axis=0).max() < 1e-9
    assert (far.gnss.sigma_m == 25.0).all()
    lied_to = FAULTS['prior_30m'](sound, around).gnss
    assert np.array_equal(lied_to.sigma_m, sound.gnss.sigma_m)
    assert np.nanmedian(np.hypot(*(lied_to.position_m - sound.gnss.position_m).T)) == (
        pytest.approx(30.0))


def test_odometry_jumps_once(sound, around):
    """By 100 m between two messages; speeds and shape of the drive stay."""
    jumped = FAULTS['odometry_jump'](sound, around)
    off = np.hypot(jumped.odometry.x_m - sound.odometry.x_m,
                   jumped.odometry.y_m - sound.odometry.y_m)
    before = sound.odometry.time_s < jumped.fault_s - 1e-6
    assert np.all(off[before] == 0)
    assert np.allclose(off[~before], 100.0)
    assert jumped.fault_s == sound.shots[8].time_s


def test_odometry_restarts_at_zero(sound, around):
    """After a gap; the motion from then on is the same as without the restart."""
    anew = FAULTS['odometry_restart'](sound, around)
    track, plain = anew.odometry, sound.odometry
    first = int(np.argmax(np.diff(track.time_s) > 0.3)) + 1
    assert track.x_m[first] == track.y_m[first] == track.yaw_rad[first] == 0
    way_m = np.hypot(track.x_m[-1], track.y_m[-1])
    begun = np.argmin(abs(plain.time_s - track.time_s[first]))
    assert way_m == pytest.approx(np.hypot(
        plain.x_m[-1] - plain.x_m[begun], plain.y_m[-1] - plain.y_m[begun]))


def test_gnss_jumps_and_comes_back(sound, around):
    """One fix is 2 km away, the next 5 s 60 m, the rest as before."""
    jumped = FAULTS['gnss_jump'](sound, around)
    off = np.hypot(*(jumped.gnss.position_m - sound.gnss.position_m).T)
    time_s = jumped.gnss.time_s
    assert np.nansum(off[time_s < jumped.fault_s - 1e-6]) == 0
    during = off[(time_s >= jumped.fault_s) & (time_s < jumped.fault_s + 5) & np.isfinite(off)]
    assert during[0] == pytest.approx(2000)
    assert np.allclose(during[1:], 60)


def test_a_kidnapped_vehicle_is_elsewhere_and_its_odometry_knows_nothing(sound, around):
    """Every image is there once, with its truth; GNSS follows, odometry goes on smoothly."""
    taken = FAULTS['kidnapped'](sound, around)
    numbers = [shot.image.index for shot in taken.shots]
    assert numbers == [*range(16, 24), *range(16)]
    for shot in taken.shots:
        assert shot.truth == sound.shots[shot.image.index].truth
    assert taken.fault_s == taken.shots[8].time_s
    jump_m = np.hypot(*np.subtract(taken.shots[8].truth[:2], taken.shots[7].truth[:2]))
    assert jump_m > 10
    steps_m = np.hypot(np.diff(taken.odometry.x_m), np.diff(taken.odometry.y_m))
    assert steps_m.max() < 8 * 0.02 + 0.02
    for shot in taken.shots:
        last = np.searchsorted(taken.gnss.time_s, shot.time_s + 1e-6) - 1
        away_m = np.hypot(*(taken.gnss.position_m[last] - shot.truth[:2]))
        assert not away_m > 15  # NaN during an outage
        yaw = np.interp(shot.time_s, taken.heading.time_s, np.unwrap(taken.heading.yaw_rad))
        assert abs(wrap_angle(yaw - shot.truth.yaw)) < np.radians(12)


def test_odometry_that_is_rearranged_drives_the_same_bends(sound, around):
    """Between two images of one part it moves as it did before."""
    taken = FAULTS['kidnapped'](sound, around)

    def turn(stream, first, last):
        track = stream.odometry
        return np.diff(np.interp([stream.shots[first].time_s, stream.shots[last].time_s],
                                 track.time_s, track.yaw_rad))[0]

    assert turn(taken, 8, 23) == pytest.approx(turn(sound, 0, 15), abs=1e-3)


def test_a_vehicle_stands_still_and_sees_one_image(sound, around):
    """For 30 s it is where the middle image was taken."""
    stood = FAULTS['standstill'](sound, around)
    middle = sound.shots[12]
    waiting = [shot for shot in stood.shots if shot.image.index == 12]
    assert waiting[-1].time_s - waiting[0].time_s == pytest.approx(30.0, abs=0.3)
    assert stood.fault_s == waiting[0].time_s
    assert {shot.truth for shot in waiting} == {middle.truth}
    moving = np.interp([shot.time_s + 0.1 for shot in waiting[1:-1]],
                       stood.odometry.time_s, np.abs(stood.odometry.speed_mps))
    assert np.median(moving) < 0.1
    odometry = [event.content for event in stood.events() if isinstance(event.content, Odometry)]
    assert np.isfinite([event.pose for event in odometry]).all()


def test_a_stop_brakes_on_the_same_path(around):
    """Places are passed in the same order, later, and speeds follow from the positions."""
    trajectory = around.drive.drive.trajectory
    retimed = with_stop(trajectory, 4.0, 10.0)
    new = retimed.trajectory
    places = new.at(retimed.new_time_s)
    passed = trajectory.time_s != 4.0  # there it is at two times
    assert np.allclose(places.east_m[passed], trajectory.east_m[passed], atol=0.03)
    assert np.allclose(places.north_m[passed], trajectory.north_m[passed], atol=0.03)
    assert np.all(np.diff(retimed.new_time_s) > 0)
    speed = np.hypot(np.gradient(new.east_m, new.time_s), np.gradient(new.north_m, new.time_s))
    assert np.allclose(speed[5:-5], new.speed_mps[5:-5], atol=0.35)
    assert np.abs(np.diff(new.speed_mps)).max() < 0.3
    assert (new.speed_mps < 1e-6).sum() == pytest.approx(1000, abs=30)


def test_faults_leave_their_stream_alone(sound, around):
    """Streams are values: a fault of one drive is none of the next."""
    copy = replace(sound)
    for fault in FAULTS.values():
        fault(sound, around)
    assert copy == replace(sound, gnss=copy.gnss)


def test_the_manual_explains_every_fault():
    """And none that is not there; the command knows the same."""
    assert tuple(FAULTS) == settings.FAULTS
    manual = (ROOT / 'docs' / 'drives.md').read_text()
    table = manual.split('|---|---|')[1].split('\n\n')[0]
    assert set(re.findall(r'`(\w+)`', ''.join(
        line.split('|')[1] for line in table.strip().splitlines()))) == set(FAULTS)
