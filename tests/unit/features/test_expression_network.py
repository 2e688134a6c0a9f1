"""The expression network: the same as a slow reading of its source, and sensible of a face that is known."""

import threading

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from clips import portrait
from mecam.features.vision import expression_network as network
from mecam.features.vision.face_models import Box, crop, detect, mesh
from mecam.features.vision.model_files import EXPRESSION, content
from reference.expression_network import probabilities


@pytest.fixture(scope="module")
def points() -> NDArray[np.float32]:
    """The mesh of the portrait."""
    picture = portrait()
    return mesh(picture, Box.around(mesh(picture, detect(picture)[0])[0]))[0]


def test_it_is_what_a_slow_reading_of_its_source_gives(points: NDArray[np.float32]) -> None:
    tensors = {
        one.name: numpy_helper.to_array(one) for one in onnx.load_from_string(content(EXPRESSION)).graph.initializer
    }

    def weight(name: str) -> NDArray[np.float64]:
        if f"{name}/scale" not in tensors:
            return tensors[name].astype(np.float64)
        return (tensors[name].astype(np.float64) - tensors[f"{name}/zero"]) * tensors[f"{name}/scale"]

    picture = portrait()
    seen = crop(picture, network._square(points), network.SIDE)
    for given in (seen, seen[::-1].copy(), np.random.default_rng(0).random(seen.shape, np.float32)):
        slow = probabilities(given.astype(np.float64) * 255, weight, tensors)
        (fast,) = network._session().run(None, {"pictures": given[None]})
        np.testing.assert_allclose(fast[0], slow, atol=2e-5)
    assert tensors["dense3/conv1/pointwise_filter"].dtype == np.uint8


def test_the_portrait_smiles(points: NDArray[np.float32]) -> None:
    found = network.expressions(portrait(), points)
    assert found.shape == (len(network.EXPRESSIONS),)
    assert found.sum() == pytest.approx(1, abs=1e-5)
    assert network.EXPRESSIONS[int(found.argmax())] == "happy"


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_that_lies_on_its_side_is_turned_upright(points: NDArray[np.float32], quarters: int) -> None:
    picture = portrait()
    size = picture.shape[0]
    turned, found = points.copy(), np.ascontiguousarray(np.rot90(picture, quarters))
    for _ in range(quarters):  # to the left: x becomes y, from below
        turned[:, :2] = np.stack([turned[:, 1], size - turned[:, 0]], axis=1)
    np.testing.assert_allclose(network.expressions(found, turned), network.expressions(picture, points), atol=1e-3)


def test_threads_share_one_network(points: NDArray[np.float32]) -> None:
    picture, results = portrait(), []
    threads = [threading.Thread(target=lambda: results.append(network.expressions(picture, points))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for found in results:
        np.testing.assert_array_equal(found, results[0])
