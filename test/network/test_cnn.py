"""The compact backbone."""

from fg2_ros.network.cnn import CompactBackbone
import pytest
import torch


@pytest.fixture(params=[True, False], ids=['wrapping', 'bounded'])
def backbone(request):
    torch.manual_seed(5)
    return CompactBackbone(channels=16, wrap=request.param).eval()


@torch.no_grad()
def test_token_map_has_stride_four(backbone):
    assert backbone(torch.rand(2, 3, 64, 128)).shape == (2, 16, 16, 32)


@torch.no_grad()
def test_a_turned_panorama_gives_turned_tokens(backbone):
    image = torch.rand(1, 3, 64, 128)
    turned = backbone(image.roll(32, dims=3))
    expected = backbone(image).roll(8, dims=3)
    assert torch.allclose(turned, expected, atol=1e-4) == backbone.merge.wrap


def test_wrapping_has_the_right_gradient():
    backbone = CompactBackbone(channels=4, wrap=True).double().eval()
    conv = backbone.stem[0]
    image = torch.randn(1, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv, image)


def test_odd_sizes_are_refused(backbone):
    with pytest.raises(ValueError, match='100 x 64 .* multiples of 32'):
        backbone(torch.zeros(1, 3, 64, 100))
