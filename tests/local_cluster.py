"""A cluster of Ray on this machine whose nodes can be killed: separate raylets, each with one processor."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mecam import ray_cluster

__all__ = ["two_nodes"]

HERE = Path(__file__).parent

QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 4,
}
"""When a node is missed: after seconds, in place of a quarter of a minute."""


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

    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(num_cpus=1, num_gpus=gpus)
        yield cluster
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)
