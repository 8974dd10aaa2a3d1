"""Worker processes: how they begin, whoever starts them."""

import signal
import sys

import cv2


def begin_worker(*_) -> None:
    """Leave Ctrl-C to the parent process, and the other processors to the other workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    if 'torch' in sys.modules:  # not every worker needs it
        sys.modules['torch'].set_num_threads(1)
