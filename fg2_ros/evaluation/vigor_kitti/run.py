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

"""An evaluation over a cross-view data set: frames are loaded, localized and recorded."""

from __future__ import annotations

from dataclasses import dataclass
import hashlib
from typing import Callable, Iterator, Sequence

from fg2_ros.datasets.frames import CrossViewDataset, CrossViewFrame, rolled, UnreadableFrame
from fg2_ros.evaluation.vigor_kitti.result_file import ResultFile
from fg2_ros.evaluation.vigor_kitti.results import Case, CrossViewResult
from fg2_ros.evaluation.vigor_kitti.settings import RunSettings
from fg2_ros.evaluation.vigor_kitti.solver import CrossViewSolver, match_picture
from torch.utils.data import DataLoader, Dataset


@dataclass(frozen=True)
class EvaluationRun:
    """
    What came of an evaluation.

    :param results: in the data set's order.
    :param unreadable: one sentence for each frame whose files could not be read.
    :param broken_labels: one sentence for each.
    """

    results: list[CrossViewResult]
    unreadable: list[str]
    broken_labels: list[str]


class FrameLoading(Dataset):
    """
    Frames with their index, or the sentence why one cannot be read.

    :param rolls_deg: by which panoramas are rolled, for each frame of the data set; None for not.
    """

    def __init__(self, frames: CrossViewDataset, indices: Sequence[int],
                 rolls_deg: Sequence[float] | None = None):
        self._frames, self._indices, self._rolls_deg = frames, indices, rolls_deg

    def __len__(self) -> int:
        """Return the number of frames to load."""
        return len(self._indices)

    def __getitem__(self, position: int) -> tuple[int, CrossViewFrame | str]:
        """Load the frame at a position of the indices."""
        index = self._indices[position]
        try:
            frame = self._frames[index]
        except UnreadableFrame as error:
            return index, str(error)
        return index, frame if self._rolls_deg is None else rolled(frame, self._rolls_deg[index])


def evaluate(
        dataset: CrossViewDataset, solver: CrossViewSolver, store: ResultFile,
        settings: RunSettings = RunSettings(), rolls_deg: Sequence[float] | None = None,
        on_frames: Callable[[int], object] = lambda count: None) -> EvaluationRun:
    """
    Localize every frame that the store has no result of.

    :param rolls_deg: see `FrameLoading`.
    :param on_frames: called with how many frames were done, those of an earlier run first.
    :raises ValueError: if not one frame is usable.
    """
    wanted = settings.indices(len(dataset))
    if not wanted:
        raise ValueError('the data set has no usable label')
    missing = [index for index in wanted if index not in store.results]
    on_frames(len(wanted) - len(missing))
    unreadable: list[str] = []
    for batch in _loaded(dataset, missing, rolls_deg, settings):
        frames = [(index, frame) for index, frame in batch if isinstance(frame, CrossViewFrame)]
        unreadable += [frame for _, frame in batch if isinstance(frame, str)]
        solved = solver.solve([frame for _, frame in frames]) if frames else []
        for (index, frame), found in zip(frames, solved):
            store.add(index, CrossViewResult.of(index, frame, found.pose).to_dict())
        on_frames(len(batch))
    results = [CrossViewResult.from_dict(store.results[index])
               for index in wanted if index in store.results]
    if not results:
        raise ValueError(f'not one of {len(unreadable)} frames can be read: {unreadable[0]}')
    return EvaluationRun(results, unreadable, list(dataset.problems))


def extremes(
        results: Sequence[CrossViewResult],
        count: int) -> tuple[list[CrossViewResult], list[CrossViewResult]]:
    """Return the results of smallest error, and the worst: those without a pose come first."""
    posed = sorted((result for result in results if result.pose), key=lambda each: each.error_m)
    lost = [result for result in results if not result.pose]
    return posed[:count], (lost + posed[count:][::-1])[:count]


def draw_cases(
        results: Sequence[CrossViewResult], solver: CrossViewSolver, dataset: CrossViewDataset,
        rolls_deg: Sequence[float] | None = None) -> list[Case]:
    """Return the cases of results whose frames can (still) be read."""
    loading = FrameLoading(dataset, [result.index for result in results], rolls_deg)
    return [draw_case(solver, index, frame)
            for index, frame in map(loading.__getitem__, range(len(loading)))
            if isinstance(frame, CrossViewFrame)]


def draw_case(solver: CrossViewSolver, index: int, frame: CrossViewFrame) -> Case:
    """Localize a frame and draw its matches."""
    solved, = solver.solve([frame])
    result = CrossViewResult.of(index, frame, solved.pose)
    return Case(result, match_picture(frame, solved, solver.config, result.errors_text))


def labels_fingerprint(dataset: CrossViewDataset) -> str:
    """Return the SHA-256 of the labels: what a frame's index stands for."""
    return hashlib.sha256(repr(dataset.labels).encode()).hexdigest()


def _loaded(
        dataset: CrossViewDataset, indices: Sequence[int], rolls_deg: Sequence[float] | None,
        settings: RunSettings) -> Iterator[list[tuple[int, CrossViewFrame | str]]]:
    return iter(DataLoader(
        FrameLoading(dataset, indices, rolls_deg), settings.batch,
        num_workers=min(settings.workers, len(indices)), collate_fn=list))
