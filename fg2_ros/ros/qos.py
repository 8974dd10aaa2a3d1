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

"""Subscriptions and publishers whose QoS a user may override (`qos_overrides` parameters)."""

from __future__ import annotations

from contextlib import contextmanager
from copy import copy
from typing import Any, Callable, Iterator

from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions
from rclpy.subscription import Subscription

# Variables with the file of Fast DDS's profiles: until Jazzy, and from Kilted on.
FAST_DDS_PROFILES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
TF_QOS = QoSProfile(depth=100)  # tf2's
STATIC_TF_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY,
               QoSPolicyKind.DURABILITY)


def subscribe(node: Node, kind: type, topic: str, callback: Callable[[Any], None],
              qos: QoSProfile, raw: bool = False) -> Subscription:
    """
    Return a subscription.

    :param qos: where no parameter says otherwise.
    :param raw: give the callback what came over the wire, as bytes.
    :raises ValueError: if a parameter says what is no QoS.
    """
    with _explained(topic):
        return node.create_subscription(
            kind, topic, callback, copy(qos), qos_overriding_options=_options(), raw=raw)


def advertise(node: LifecycleNode, kind: type, topic: str, qos: QoSProfile,
              always: bool = False) -> Publisher:
    """
    Return a publisher that is silent while the node is not active.

    :param qos: where no parameter says otherwise.
    :param always: let it publish in every state.
    :raises ValueError: if a parameter says what is no QoS.
    """
    create = node.create_publisher if always else node.create_lifecycle_publisher
    with _explained(topic):
        return create(kind, topic, copy(qos), qos_overriding_options=_options())


def subscription_qos(node: Node, kind: type, topic: str, qos: QoSProfile) -> QoSProfile:
    """
    Return the QoS of a subscription that somebody else makes, such as tf2.

    :param qos: where no parameter says otherwise.
    :raises ValueError: if a parameter says what is no QoS.
    """
    trial = subscribe(node, kind, topic, lambda _: None, qos)
    node.destroy_subscription(trial)
    return trial.qos_profile


def publisher_qos(node: LifecycleNode, kind: type, topic: str, qos: QoSProfile) -> QoSProfile:
    """
    Return the QoS of a publisher that somebody else makes, such as tf2.

    :param qos: where no parameter says otherwise.
    :raises ValueError: if a parameter says what is no QoS.
    """
    trial = advertise(node, kind, topic, qos, always=True)
    node.destroy_publisher(trial)
    return trial.qos_profile


def _options() -> QoSOverridingOptions:
    return QoSOverridingOptions(OVERRIDABLE)


@contextmanager
def _explained(topic: str) -> Iterator[None]:
    try:
        yield
    except (InvalidQosOverridesError, ParameterException, RuntimeError) as error:
        raise ValueError(f'the QoS of {topic}: {error}') from error
