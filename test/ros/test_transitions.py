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

"""Requests for transitions in any order and from several clients, over real DDS."""

from itertools import cycle, islice
import random
from test.helpers.vehicle import at, FRAME, Vehicle
import threading

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
import pytest

DATUM = list(FRAME.datum)
REQUESTS, CLIENTS, AT_ONCE = 1000, 3, 9  # services keep ten requests
USUAL = (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP,
         Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE)


def request(number: int, label: str = '') -> ChangeState.Request:
    """Return a request by number or label."""
    return ChangeState.Request(transition=Transition(id=number, label=label))


def state(vehicle: Vehicle, node) -> int:
    """Return the state that the node says it is in."""
    name = f'{node.get_fully_qualified_name()}/get_state'
    return vehicle.call(GetState, name, GetState.Request()).current_state.id


def answers(vehicle: Vehicle, node, requests: list) -> list[bool]:
    """Send requests from several clients, many at a time; return what the answers say."""
    name = f'{node.get_fully_qualified_name()}/change_state'
    clients = [vehicle.node.create_client(ChangeState, name) for _ in range(CLIENTS)]
    assert all(client.wait_for_service(60.0) for client in clients)
    results = []
    for first in range(0, len(requests), AT_ONCE):
        batch = requests[first:first + AT_ONCE]
        waiting, done = threading.Semaphore(0), []
        for client, each in zip(cycle(clients), batch):
            future = client.call_async(each)
            future.add_done_callback(lambda future: (done.append(future), waiting.release()))
        assert all(waiting.acquire(timeout=60.0) for _ in batch)
        results += [future.result().success for future in done]
    for client in clients:
        vehicle.node.destroy_client(client)
    return results


def test_a_thousand_requests_in_any_order(vehicle):
    """From several clients at once: each is answered, and afterwards the node localizes."""
    node = vehicle.start(active=False, datum=DATUM)
    draw = random.Random(4)
    asked = [request(draw.choice(USUAL) if draw.random() < 0.15 else draw.randrange(8, 256))
             for _ in range(REQUESTS)]
    done = answers(vehicle, node, asked)
    assert len(done) == REQUESTS and 10 < sum(done) < 150
    vehicle.until_logged('change_state: there is no transition')
    for label, of in (('deactivate', State.PRIMARY_STATE_ACTIVE),
                      ('cleanup', State.PRIMARY_STATE_INACTIVE)):
        if state(vehicle, node) == of:
            assert vehicle.change(node, label)
    assert vehicle.change(node, 'configure') and vehicle.change(node, 'activate')
    vehicle.meet(node)
    vehicle.send_all(at(1.0))
    vehicle.pose_at(at(1.0))


@pytest.mark.parametrize('asked', [
    request(Transition.TRANSITION_ACTIVATE), request(Transition.TRANSITION_DEACTIVATE),
    request(Transition.TRANSITION_ACTIVE_SHUTDOWN),
    request(Transition.TRANSITION_ON_CONFIGURE_SUCCESS),
    request(0, 'activate'), request(1, 'no such label'), request(255)])
def test_what_the_state_does_not_have_is_refused(vehicle, asked):
    """With success = false and a sentence that says what there is."""
    node = vehicle.start(active=False, datum=DATUM)
    assert answers(vehicle, node, [asked]) == [False]
    said = vehicle.until_logged('change_state: there is no transition').msg
    assert said.endswith('from the state unconfigured, only configure (1), shutdown (5)')
    assert answers(vehicle, node, [request(0, 'configure')]) == [True]


def test_a_node_that_is_shut_down_stays_so(vehicle):
    """Every request is refused, and it still answers."""
    node = vehicle.start(active=False, datum=DATUM)
    assert vehicle.change(node, 'shutdown')
    assert not any(answers(vehicle, node, [*map(request, islice(range(256), 0, None, 16))]))
    assert state(vehicle, node) == State.PRIMARY_STATE_FINALIZED
