"""How the machines of a cluster are shared out, and what is said where there is none."""

from types import SimpleNamespace
from typing import Any

import pytest

from mecam.errors import ConfigError
from mecam.ray_cluster import Stage, _first_error, _room, connected


def a_ray(*machines: dict[str, float]) -> Any:
    """In the place of the module: what it says of its machines, one of which is gone."""
    nodes = [{"Alive": True, "Resources": one} for one in machines]
    return SimpleNamespace(nodes=lambda: [*nodes, {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}])


def test_an_actor_takes_no_more_than_a_machine_has() -> None:
    """Else it would wait for ever."""
    two = a_ray({"CPU": 6.0}, {"CPU": 3.0})
    assert _room(two, Stage(object, ())) == (9, 1)
    assert _room(two, Stage(object, (), processors=4)) == (1, 4)
    assert _room(two, Stage(object, (), processors=16)) == (1, 6)
    gpus = a_ray({"CPU": 16.0}, {"CPU": 2.0, "GPU": 2.0}, {"CPU": 4.0, "GPU": 1.0})
    assert _room(gpus, Stage(object, (), processors=4, gpus=1)) == (3, 4)
    assert _room(gpus, Stage(object, (), processors=0, gpus=1)) == (3, 0)
    with pytest.raises(ConfigError, match="the cluster has no GPU"):
        _room(two, Stage(object, (), gpus=1))


def test_the_first_error_of_a_cluster_is_told() -> None:
    first = "\x1b[36mray::MapWorker()\x1b[39m\n  File x\nModuleNotFoundError: No module named 'mecam'\n"
    assert (
        _first_error(Exception(first + "\nray.exceptions.UserCodeException: y"))
        == "ModuleNotFoundError: No module named 'mecam'"
    )
    assert _first_error(ValueError("odd")) == "ValueError: odd"


def test_no_cluster_is_one_error_at_once() -> None:
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match="there is no cluster of Ray at 127"), connected("127.0.0.1:9"):
        pass
