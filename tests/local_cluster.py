"""A cluster of Ray on this machine whose nodes can be killed: separate raylets, each with one processor."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mecam import ray_cluster

__all__ = ["two_nodes"]

HERE = Path(__file__).parent


@contextmanager
def two_nodes(gpus: int = 0) -> Iterator[Any]:
    """A head and another node, which says that it has so many GPUs; workers import mecam and the helpers of the tests.

    Yields: the cluster, with its `address`, and `add_node` and `remove_node`.
    """
    before = dict(os.environ)
    paths = [str(HERE), str(HERE.parent / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ.update(ray_cluster.QUIET)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1, num_gpus=gpus)
        yield cluster
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)
