"""Small tensors on a busy machine: threads that wait for each other cost more than they help."""

import pytest


@pytest.fixture(autouse=True)
def one_thread():
    """Let torch use one thread for a test."""
    import torch
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
