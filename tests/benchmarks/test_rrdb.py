import torch

from benchmarks.rrdb import RRDB
from rssr.models.fast import prepare_fast


def test_the_published_size_has_the_published_parameters() -> None:
    with torch.device("meta"):
        network = RRDB()
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 2) == 16.70


def test_the_output_is_four_times_as_large_and_the_fast_copy_agrees() -> None:
    torch.manual_seed(0)
    network = RRDB(channels=8, num_blocks=2, growth=4).eval()
    x = torch.rand(2, 3, 5, 7)
    with torch.no_grad():
        expected = network(x)
        torch.testing.assert_close(prepare_fast(network, "cpu", torch.float32)(x), expected, atol=1e-5, rtol=1e-4)
    assert expected.shape == (2, 3, 20, 28)
