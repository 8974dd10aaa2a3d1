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

"""The lifecycle node: panoramas, GNSS and odometry in; poses, map -> odom and diagnostics out."""

from __future__ import annotations

from contextlib import closing, ExitStack
import gc
import os
import signal
import sys
import traceback
from typing import Any, Callable

from diagnostic_msgs.msg import DiagnosticArray
from fg2_ros.imagery.patch import ImageryError
from fg2_ros.ros.bond import Bond, bond_message
from fg2_ros.ros.diagnostics import Health
from fg2_ros.ros.image_inputs import resolved_topics
from fg2_ros.ros.loading import are_out_of_domain, load_localizer, Loaded, trained_on
from fg2_ros.ros.localization import Localization, Parts
from fg2_ros.ros.log_bridge import LogBridge
from fg2_ros.ros.node_settings import NodeSettings
from fg2_ros.ros.outputs import Outputs, RESULT_QOS
from fg2_ros.ros.parameters import Parameters, shown
from fg2_ros.ros.pipeline import Pipeline
from fg2_ros.ros.qos import advertise
from fg2_ros.ros.services import Services
from fg2_ros.ros.transforms import Transforms
from fg2_ros.ros.transitions import refuse_impossible_transitions
from fg2_ros.ros.worker import exclude_from_garbage_collection, is_busy, keep_memory
import rclpy
from rclpy.clock import Clock, ClockType, JumpHandle, JumpThreshold
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class FG2Node(LifecycleNode):
    """
    Localize a vehicle in aerial imagery: transitions, parameters and diagnostics.

    While it is configured, `Localization` does the rest.

    :param load: makes the localizer out of the settings; tests give another one.
    :param options: of `rclpy.node.Node`.
    """

    def __init__(self, load: Callable[[NodeSettings], Loaded] = load_localizer, **options: Any):
        """Declare the parameters; everything else is made by the transitions."""
        super().__init__('fg2', **options)
        refuse_impossible_transitions(self)
        self._load = load
        self._user_parameters = Parameters(self, NodeSettings())
        self.health = Health(self.get_logger())
        self._localization: Localization | None = None
        self._bond: Bond | None = None
        self._log_bridge: LogBridge | None = None
        self._jumps: JumpHandle | None = None
        self._services_offered = Services(self, lambda: self._localization)
        self._diagnostics = advertise(
            self, DiagnosticArray, '/diagnostics', RESULT_QOS, always=True)
        self._diagnostics_timer = self.create_timer(  # ticks before there is a /clock, too
            1.0, self._publish_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.add_post_set_parameters_callback(self._apply_parameters)

    @property
    def localization(self) -> Localization:
        """Return what follows the vehicle; only a configured node has it."""
        assert self._localization is not None, 'the node is not configured'
        return self._localization

    @property
    def parts(self) -> Parts:
        """Return what the configured node is made of."""
        return self.localization.parts

    # Transitions -------------------------------------------------------------------------------

    def autostart(self) -> bool:
        """Configure and activate; return whether the node is active."""
        return self.trigger_configure() == _SUCCESS and self.trigger_activate() == _SUCCESS

    @property
    def wants_autostart(self) -> bool:
        """Whether the parameter asks for `autostart`."""
        return bool(self.get_parameter('autostart').value)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Make everything that takes memory or time to make."""
        return self._transition('configure', 'inactive', self._configure, self._release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to publish and to take images."""
        super().on_activate(state)
        result = self._transition('activate', 'active', self._start, self._stop)
        if result != _SUCCESS:
            super().on_deactivate(state)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Finish the image at hand; GNSS and odometry are still listened to."""
        self._stop()
        super().on_deactivate(state)
        return self._transition('deactivate', 'inactive')

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back."""
        return self._transition('clean up', 'unconfigured', self._release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give everything back, from any state."""
        return self._transition('shut down', 'finalized', self._release)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to the unconfigured state."""
        return self._transition('recover', 'unconfigured', self._release)

    def destroy_node(self) -> None:
        """Give everything back before the node goes."""
        self._release()
        super().destroy_node()

    def _transition(self, name: str, next_state: str, act: Callable[[], None] = lambda: None,
                    undo: Callable[[], None] = lambda: None) -> TransitionCallbackReturn:
        """Act; rclpy swallows exceptions of transitions, so say here what went wrong."""
        try:
            act()
        except Exception as error:
            if not self.context.ok():  # Ctrl-C came first
                undo()
                return _FAILURE
            expected = isinstance(error, (ValueError, OSError, ImageryError))
            self.get_logger().error(
                f'cannot {name}: {error}' if expected else
                f'cannot {name}: {traceback.format_exc()}')
            self.health.setup_error = f'cannot {name}: {error}'
            undo()
            return _FAILURE
        self.health.setup_error = ''
        self.health.state = next_state
        self.get_logger().info(next_state)
        return _SUCCESS

    def _configure(self) -> None:
        self._log_bridge = LogBridge(self.get_logger())
        self._localization = Localization(
            self, self._make_parts(self._read_parameters()), self.health)
        self._localization.listen()
        self._warn_of_simulated_weights()
        self._jumps = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1),
                          on_clock_change=False),
            post_callback=lambda _: self.localization.start_again('the ROS clock went back'))
        exclude_from_garbage_collection()

    def _make_parts(self, settings: NodeSettings) -> Parts:
        """Return all parts; if one cannot be made, what the others hold is given back."""
        with ExitStack() as made:
            loaded = made.enter_context(closing(self._load(settings)))
            transforms = made.enter_context(closing(
                Transforms(self, broadcasts=settings.publish_tf, warn=self._warn_of_transform)))
            outputs = made.enter_context(closing(Outputs(self, settings, transforms)))
            topics = resolved_topics(self, settings.camera)
            parts = Parts(settings, loaded, transforms, outputs,
                          Pipeline(settings, loaded, transforms, topics))
            made.pop_all()
        return parts

    def _warn_of_transform(self, sentence: str) -> None:
        self.health.trouble('tf', sentence, once=True)

    def _start(self) -> None:
        self.localization.start()
        if (kind := bond_message()) is not None:
            self._bond = Bond(self, kind)

    def _stop(self) -> None:
        if self._bond is not None:
            self._bond.close()
            self._bond = None
        if self._localization is not None:
            self._localization.stop()

    def _release(self) -> None:
        self._stop()
        gc.unfreeze()
        if self._localization is not None:
            self._localization.close()
            self._localization = None
        if self._log_bridge is not None:
            self._log_bridge.close()
            self._log_bridge = None
        if self._jumps is not None:
            self._jumps.unregister()
            self._jumps = None

    # Parameters --------------------------------------------------------------------------------

    def _read_parameters(self) -> NodeSettings:
        for name in self._user_parameters.unknown():
            self.get_logger().warning(f'there is no parameter {name!r}: is it a typo?')
        return self._user_parameters.read()

    def _apply_parameters(self, changed: list) -> None:
        """Let parameters that were changed act at once; a later configuration reads them anew."""
        ours = [parameter for parameter in changed if parameter.name in self._user_parameters]
        if self._localization is None or not ours:
            return
        self._localization.apply(self._user_parameters.read())
        for parameter in ours:
            self.get_logger().info(f'parameter {parameter.name} is now {shown(parameter.value)}')

    def _warn_of_simulated_weights(self) -> None:
        metadata = self.parts.loaded.localizer.metadata
        self.health.notes['weights trained on'] = trained_on(metadata)
        if are_out_of_domain(metadata, self.parts.settings.simulated_camera):
            self.get_logger().warning(
                'the weights were trained on simulation only: do not rely on their poses with a '
                'real camera; they claim a sigma of at least 1.5 m (set simulated_camera: true if '
                'the images are simulated)')

    # Diagnostics -------------------------------------------------------------------------------

    def _publish_diagnostics(self) -> None:
        made = self._localization
        if made:
            made.notice_other_origins()
        self._diagnostics.publish(self.health.report(
            self.get_fully_qualified_name(), self.get_clock().now().to_msg(),
            made.inputs.arrivals if made else {},
            made.input_diagnostics() if made else {},
            made.parts.loaded.imagery.status() if made else None))


def main(args: list[str] | None = None) -> None:
    """Run the node until Ctrl-C."""
    # rclpy's handler ends `spin`; Python's would raise wherever it strikes, and `ros2 launch`
    # sends the signal twice.
    signal.signal(signal.SIGINT, lambda *_: None)
    keep_memory()
    sys.setswitchinterval(0.0005)  # so that callbacks do not keep the worker waiting
    node = None
    try:
        rclpy.init(args=args)
        executor = SingleThreadedExecutor()  # rclpy's own is None once Ctrl-C was pressed
        node = FG2Node()
        executor.add_node(node)
        if node.wants_autostart:
            node.autostart()
        node.get_logger().debug('ready')
        executor.spin()
    except ExternalShutdownException:
        pass
    except RuntimeError:
        if rclpy.ok():
            raise  # else the context ended between two waits, which rclpy takes for an error
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        if is_busy():  # on an image, and nothing can interrupt torch
            sys.stderr.flush()
            os._exit(0)
        gc.freeze()  # or else the interpreter searches all of torch for garbage before it ends


if __name__ == '__main__':
    main()
